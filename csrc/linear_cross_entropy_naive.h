// TEMPORARY: a plain version, one row or item at a time.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include "catalogue_scores.h"
#include "host_device.h"
#include "linear_cross_entropy.h"

namespace atjt::naive {

template <class T>
ATJT_HD double score(const T* x, const T* w, int64_t width, double bias) {
  double sum = bias;
  for (int64_t d = 0; d < width; ++d) sum += double(widen(x[d])) * double(widen(w[d]));
  return sum;
}

template <class T>
ATJT_HD double logit(const LinearCrossEntropyInputs<T>& in, int64_t n, int64_t v) {
  return double(in.scale) * score(in.hidden + n * in.width, in.table + v * in.width, in.width,
                                  in.bias != nullptr ? double(in.bias[v]) : 0.0);
}

template <class T>
ATJT_HD int64_t rows_that_count(const LinearCrossEntropyInputs<T>& in) {
  return in.rows_counted != nullptr ? *in.rows_counted : in.rows;
}

template <class T>
ATJT_HD void forward_row(const LinearCrossEntropyForward<T>& p, int64_t n) {
  using Real = Arithmetic<T>;
  const auto& in = p.in;
  const bool counts = n < rows_that_count(in);
  double origin = counts ? -INFINITY : 0, sum = counts ? 0 : 1;
  if (counts) {
    for (int64_t v = 0; v < in.classes; ++v) origin = fmax(origin, logit(in, n, v));
    origin = Real(origin);
    for (int64_t v = 0; v < in.classes; ++v) sum += exp(logit(in, n, v) - origin);
  }
  const bool valid = uint64_t(in.targets[n]) < uint64_t(in.classes);
  p.losses[n] = Real(!counts ? 0.0
                     : valid ? log(sum) + (origin - logit(in, n, in.targets[n]))
                             : double(NAN));
  p.origins[n] = Real(origin);
  p.sums[n] = Real(sum);
  if (p.mean_embedding == nullptr) return;
  for (int64_t d = 0; d < in.width; ++d) {
    double mean = 0;
    for (int64_t v = 0; counts && v < in.classes; ++v)
      mean += exp(logit(in, n, v) - origin) * double(widen(in.table[v * in.width + d]));
    p.mean_embedding[n * in.width + d] = Real(mean / sum);
  }
}

template <class T>
ATJT_HD void gradient_item(const LinearCrossEntropyTableGradient<T>& p, int64_t v) {
  using Real = Arithmetic<T>;
  const auto& in = p.in;
  const double unscale = p.unscale != nullptr ? double(*p.unscale) : 1.0;
  for (int64_t d = -1; d < in.width; ++d) {  // -1: the bias
    double sum = d >= 0 && p.shift != nullptr ? double(p.shift[d]) : 0.0;
    for (int64_t n = 0; n < rows_that_count(in); ++n) {
      const double x = d < 0 ? 1.0 : double(widen(in.hidden[n * in.width + d]));
      sum += x * (in.targets[n] == v ? double(p.target_factors[n])
                                     : unscale * double(p.factors[n]) *
                                           exp(logit(in, n, v) - double(p.origins[n])));
    }
    if (d < 0) {
      if (p.grad_bias != nullptr) p.grad_bias[v] = Real(sum);
    } else if (p.grad_in_arithmetic) {
      Real* const at = static_cast<Real*>(p.grad_table) + v * in.width + d;
      *at = Real(sum + (p.accumulate ? double(*at) : 0.0));
    } else {
      T* const at = static_cast<T*>(p.grad_table) + v * in.width + d;
      narrow(Real(sum + (p.accumulate ? double(widen(*at)) : 0.0)), at);
    }
  }
}

template <class T>
ATJT_HD void score_pair(const PairScoresParams<T>& p, int64_t i) {
  using Real = Arithmetic<T>;
  const int64_t n = p.pair_rows[i], v = p.pair_classes[i];
  const bool valid = uint64_t(n) < uint64_t(p.in.rows) && uint64_t(v) < uint64_t(p.in.classes);
  p.scores[i] = valid ? Real(score(p.in.hidden + n * p.in.width, p.in.table + v * p.in.width,
                                   p.in.width, p.in.bias != nullptr ? double(p.in.bias[v]) : 0.0))
                      : Real(NAN);
}

template <class T>
ATJT_HD void count_row(const CountAtLeastParams<T>& p, int64_t n) {
  using Real = Arithmetic<T>;
  int64_t count = 0;
  for (int64_t v = 0; v < p.in.classes; ++v)
    count += !(Real(score(p.in.hidden + n * p.in.width, p.in.table + v * p.in.width, p.in.width,
                          p.in.bias != nullptr ? double(p.in.bias[v]) : 0.0)) < p.thresholds[n]);
  p.counts[n] = count;
}

}  // namespace atjt::naive
