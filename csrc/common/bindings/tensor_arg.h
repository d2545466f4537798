// A tensor argument of the Python module: any object with DLPack, borrowed and never owned.
//
// torch >= 2.11 offers the DLPack C exchange API on its tensor type: a borrowed view for 0.06 us
// and torch's current CUDA stream. Other objects (NumPy arrays, older torch) come in through
// __dlpack__().
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <dlpack/dlpack.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

namespace atjt {

namespace py = pybind11;

constexpr DLDataType kInt32 = {kDLInt, 32, 1}, kInt64 = {kDLInt, 64, 1}, kBool = {kDLBool, 8, 1};
constexpr DLDataType kFloat32 = {kDLFloat, 32, 1}, kFloat64 = {kDLFloat, 64, 1};
constexpr DLDataType kFloat16 = {kDLFloat, 16, 1}, kBFloat16 = {kDLBfloat, 16, 1};

inline bool operator==(DLDataType a, DLDataType b) {
  return a.code == b.code && a.bits == b.bits && a.lanes == b.lanes;
}

inline std::string name_of(DLDataType type) {
  const char* kinds[] = {"int", "uint", "float", "opaque", "bfloat", "complex", "bool"};
  if (type == kBool) return "bool";
  return (type.code < 7 ? kinds[type.code] : "type") + std::to_string(type.bits);
}

inline std::string name_of(DLDevice device) {
  if (device.device_type == kDLCPU) return "cpu";
  if (device.device_type == kDLCUDA) return "cuda:" + std::to_string(device.device_id);
  return "device type " + std::to_string(int(device.device_type));
}

inline std::string name_of(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

// The product of the sizes; the largest number instead of a larger one.
inline int64_t elements_of(const std::vector<int64_t>& shape) {
  int64_t elements = 1;
  bool overflows = false;
  for (const int64_t size : shape) {
    if (size == 0) return 0;
    overflows |= __builtin_mul_overflow(elements, size, &elements);
  }
  return overflows ? std::numeric_limits<int64_t>::max() : elements;
}

// The memory of a call's arguments. No output may overlap another argument: a kernel would write
// over indices that were checked before.
class ArgumentMemory {
 public:
  // `replaces` names the input that this output may overwrite, element by element; null: none.
  void add(const char* name, const void* data, int64_t bytes, bool written, const char* replaces) {
    const auto begin = reinterpret_cast<uintptr_t>(data);
    if (bytes > 0) spans_.push_back({name, begin, begin + uintptr_t(bytes), written, replaces});
  }

  bool has_outputs() const {
    for (const Span& span : spans_)
      if (span.written) return true;
    return false;
  }

  void refuse_overlaps() const {
    for (const Span& output : spans_) {
      if (!output.written) continue;
      for (const Span& other : spans_) {
        const bool apart = output.end <= other.begin || other.end <= output.begin;
        if (&other == &output || apart || is_replaced(other, output)) continue;
        throw py::value_error(output.name + " must not overlap " + other.name + " in memory");
      }
    }
  }

 private:
  struct Span {
    std::string name;
    uintptr_t begin, end;
    bool written;
    const char* replaces;
  };

  static bool is_replaced(const Span& input, const Span& output) {
    return output.replaces != nullptr && input.name == output.replaces &&
           input.begin == output.begin && input.end == output.end;
  }

  std::vector<Span> spans_;
};

class TensorArg {
 public:
  // False if `object` is no tensor at all; throws if it is one that cannot be read.
  bool load(py::handle object);

  DLDataType dtype() const { return view_.dtype; }
  DLDevice device() const { return view_.device; }
  std::vector<int64_t> shape() const { return {view_.shape, view_.shape + view_.ndim}; }
  void* stream() const;  // torch's current stream on the device; null on the CPU

  // The address of the data, after a check of dtype, shape, layout and device. Without const in T
  // the tensor is an output; `replaces` is as in ArgumentMemory. `beside` remembers the memory.
  template <class T>
  T* data(const char* name, DLDataType dtype, const std::vector<int64_t>& shape,
          const TensorArg& beside, const char* replaces = nullptr) const {
    constexpr bool kWritten = !std::is_const_v<T>;
    check(name, dtype, shape, beside.device(), kWritten);
    char* const address = static_cast<char*>(view_.data) + view_.byte_offset;
    beside.memory_.add(name, address, elements_of(shape) * (dtype.bits / 8), kWritten, replaces);
    return reinterpret_cast<T*>(address);
  }

  // Of the arguments whose data() was beside this one.
  const ArgumentMemory& memory() const { return memory_; }

 private:
  void check(const char* name, DLDataType dtype, const std::vector<int64_t>& shape, DLDevice device,
             bool written) const;
  void load_from_method(py::handle object);

  DLTensor view_{};
  const DLPackExchangeAPI* api_ = nullptr;
  py::object keep_alive_;  // the capsule that owns view_, if it came from __dlpack__()
  bool read_only_ = false;
  mutable ArgumentMemory memory_;
};

inline const DLPackExchangeAPI* exchange_api_of(PyTypeObject* type) {
  // Nearly all calls have one type, torch.Tensor: remember the last one. The GIL guards the cache.
  static PyTypeObject* cached_type = nullptr;
  static const DLPackExchangeAPI* cached_api = nullptr;
  if (type == cached_type) return cached_api;
  const auto capsule = py::reinterpret_steal<py::object>(
      PyObject_GetAttrString(reinterpret_cast<PyObject*>(type), "__dlpack_c_exchange_api__"));
  if (!capsule) PyErr_Clear();  // the attribute is optional
  const DLPackExchangeAPI* api = nullptr;
  if (capsule && PyCapsule_IsValid(capsule.ptr(), "dlpack_exchange_api")) {
    api = static_cast<const DLPackExchangeAPI*>(
        PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
    if (api->header.version.major != DLPACK_MAJOR_VERSION ||
        api->dltensor_from_py_object_no_sync == nullptr)
      api = nullptr;
  }
  Py_INCREF(type);  // a cached address must stay the address of this type
  Py_XDECREF(cached_type);
  cached_type = type;
  cached_api = api;
  return api;
}

// The reason in one line: torch adds a trace of C++ calls.
[[noreturn]] inline void refuse_export() {
  const std::string reason = py::error_already_set().what();
  throw py::buffer_error("the tensor has no memory to read: " +
                         reason.substr(0, reason.find('\n')));
}

inline bool TensorArg::load(py::handle object) {
  api_ = exchange_api_of(Py_TYPE(object.ptr()));
  if (api_ != nullptr) {
    if (api_->dltensor_from_py_object_no_sync(object.ptr(), &view_) != 0) refuse_export();
    return true;
  }
  if (!py::hasattr(object, "__dlpack__")) return false;
  load_from_method(object);
  return true;
}

// The capsule of __dlpack__(): of version 1, which marks read-only memory, if the method knows it.
inline py::object exported(const py::object& source, const py::dict& options) {
  const py::object method = source.attr("__dlpack__");
  try {
    return method(py::arg("max_version") = py::make_tuple(DLPACK_MAJOR_VERSION, 0), **options);
  } catch (const py::error_already_set& error) {
    if (!error.matches(PyExc_TypeError)) throw;  // an unknown keyword
  }
  return method(**options);
}

inline void TensorArg::load_from_method(py::handle object) {
  py::object source = py::reinterpret_borrow<py::object>(object);
  // torch refuses to export tensors that require a gradient; the kernels only read the numbers.
  if (py::hasattr(source, "detach")) source = source.attr("detach")();
  const auto device = source.attr("__dlpack_device__")().cast<std::pair<int, int>>();
  py::dict options;
  // No synchronisation, as the kernel runs on the producer's current stream.
  if (device.first == kDLCUDA) options["stream"] = -1;
  keep_alive_ = exported(source, options);
  if (PyCapsule_IsValid(keep_alive_.ptr(), "dltensor")) {
    view_ = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(keep_alive_.ptr(), "dltensor"))
                ->dl_tensor;
  } else if (PyCapsule_IsValid(keep_alive_.ptr(), "dltensor_versioned")) {
    const auto* managed = static_cast<DLManagedTensorVersioned*>(
        PyCapsule_GetPointer(keep_alive_.ptr(), "dltensor_versioned"));
    if (managed->version.major != DLPACK_MAJOR_VERSION)
      throw py::buffer_error("a DLPack tensor of an unknown major version");
    view_ = managed->dl_tensor;
    read_only_ = (managed->flags & DLPACK_FLAG_BITMASK_READ_ONLY) != 0;
  } else {
    throw py::buffer_error("__dlpack__() did not return a DLPack capsule");
  }
}

inline void* TensorArg::stream() const {
  if (device().device_type != kDLCUDA) return nullptr;
  if (api_ != nullptr) {
    void* stream = nullptr;
    if (api_->current_work_stream(device().device_type, device().device_id, &stream) != 0)
      throw py::error_already_set();
    return stream;
  }
  const py::object current = py::module_::import("torch").attr("cuda").attr("current_stream");
  return reinterpret_cast<void*>(
      current(device().device_id).attr("cuda_stream").cast<std::uintptr_t>());
}

inline void TensorArg::check(const char* name, DLDataType wanted_dtype,
                             const std::vector<int64_t>& wanted_shape, DLDevice wanted,
                             bool written) const {
  const auto fail = [name](const std::string& want, const std::string& got) {
    throw py::value_error(std::string(name) + " must be " + want + ", got " + got);
  };
  if (!(dtype() == wanted_dtype)) fail(name_of(wanted_dtype), name_of(dtype()));
  if (device().device_type != wanted.device_type || device().device_id != wanted.device_id)
    fail("on " + name_of(wanted), name_of(device()));
  if (shape() != wanted_shape) fail(name_of(wanted_shape), name_of(shape()));
  const int64_t elements = elements_of(wanted_shape);
  if (elements == 0) return;
  if (elements > std::numeric_limits<int64_t>::max() / 16)
    fail("smaller than 2^59 elements", name_of(shape()));
  if (view_.data == nullptr)  // a FakeTensor passes the checks above
    throw py::type_error(std::string(name) + " has no data (a fake or functional tensor?)");
  int64_t stride = 1;
  for (int i = view_.ndim - 1; i >= 0 && view_.strides != nullptr; --i) {
    if (view_.shape[i] > 1 && view_.strides[i] != stride)
      fail("contiguous",
           "strides " + name_of(std::vector<int64_t>(view_.strides, view_.strides + view_.ndim)));
    stride *= view_.shape[i];
  }
  if (written && read_only_) fail("writable", "read-only memory");
  const int64_t bytes = wanted_dtype.bits / 8;
  const auto address = reinterpret_cast<uintptr_t>(view_.data) + uintptr_t(view_.byte_offset);
  if (const auto off = address % uintptr_t(bytes); off != 0)
    fail("aligned to " + std::to_string(bytes) + " bytes",
         "an address " + std::to_string(off) + " behind");
}

}  // namespace atjt

namespace pybind11::detail {

template <>
struct type_caster<atjt::TensorArg> {
  PYBIND11_TYPE_CASTER(atjt::TensorArg, const_name("torch.Tensor"));
  bool load(handle source, bool) { return source && value.load(source); }
};

}  // namespace pybind11::detail
