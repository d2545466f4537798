// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace atjt::cuda {

int device_count();  // 0 without a driver; creates no context

}  // namespace atjt::cuda
