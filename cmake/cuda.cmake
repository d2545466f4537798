# Decides whether CUDA kernels are built, prints the decision, and defines the target atjt_cuda.
#   in:  ATJT_CUDA (AUTO, ON, OFF), ATJT_WERROR, ATJT_PTXAS_VERBOSE, CMAKE_CUDA_ARCHITECTURES / CUDAARCHS
#   out: ATJT_HAVE_CUDA
set(ATJT_HAVE_CUDA OFF)
if(ATJT_CUDA STREQUAL "OFF")
  message(STATUS "atjt_ext: CUDA kernels OFF (ATJT_CUDA=OFF)")
  return()
endif()
if(NOT ATJT_CUDA MATCHES "^(AUTO|ON)$")
  message(FATAL_ERROR "ATJT_CUDA must be AUTO, ON or OFF, got '${ATJT_CUDA}'")
endif()

# CMake searches PATH only; look in the toolkit's usual folder too.
include(CheckLanguage)
if(NOT DEFINED CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(ATJT_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda/bin
               PATH_SUFFIXES bin)
  if(ATJT_NVCC)
    set(ENV{CUDACXX} "${ATJT_NVCC}")
  endif()
endif()
if(DEFINED CMAKE_CUDA_ARCHITECTURES OR DEFINED ENV{CUDAARCHS})
  set(ATJT_USER_ARCHITECTURES ON)
endif()
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  if(ATJT_CUDA STREQUAL "ON")
    message(FATAL_ERROR "ATJT_CUDA=ON, but no working CUDA compiler was found. "
                        "Put nvcc on PATH or set CUDACXX, or build with ATJT_CUDA=OFF.")
  endif()
  unset(CMAKE_CUDA_ARCHITECTURES)
  message(STATUS "atjt_ext: CUDA kernels OFF (ATJT_CUDA=AUTO and no working nvcc found)")
  return()
endif()

set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)
enable_language(CUDA)
if(NOT ATJT_USER_ARCHITECTURES)
  # 80 serves all 8.x, 90a only 9.0, 100 all 10.x, 120 all 12.x; the PTX serves later chips.
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90a-real)
  if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12.8)
    list(APPEND CMAKE_CUDA_ARCHITECTURES 100-real 120-real 120-virtual)
  else()
    list(APPEND CMAKE_CUDA_ARCHITECTURES 90-virtual)
  endif()
endif()
find_package(CUDAToolkit REQUIRED)

file(GLOB ATJT_CUDA_SOURCES CONFIGURE_DEPENDS csrc/*/cuda/*.cu)
add_library(atjt_cuda OBJECT ${ATJT_CUDA_SOURCES})
target_link_libraries(atjt_cuda PRIVATE atjt_options)
target_compile_options(atjt_cuda PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:
  -lineinfo -Xfatbin=-compress-all -Xcompiler=-Wall,-Wextra,-ffp-contract=off
  $<$<BOOL:${ATJT_WERROR}>:-Werror=all-warnings>
  $<$<BOOL:${ATJT_WERROR}>:-Xcompiler=-Werror>
  $<$<BOOL:${ATJT_PTXAS_VERBOSE}>:-Xptxas=-v>>)
set(ATJT_HAVE_CUDA ON)
message(STATUS "atjt_ext: CUDA kernels ON (nvcc ${CMAKE_CUDA_COMPILER_VERSION}, "
               "architectures ${CMAKE_CUDA_ARCHITECTURES})")
