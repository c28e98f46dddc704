# LibTorch and the BLAS behind it.
#
# Debian's LibTorch asks the system for "libblas.so.3". Which library answers is a system-wide alternative: often
# the reference BLAS (twenty times slower) or the pthread build of OpenBLAS (whose threads fight OpenMP's). The
# program therefore names OpenBLAS's OpenMP build first, and the loader takes the one already loaded.
set(GRADSTAB_TORCH_PYTHON "" CACHE FILEPATH "an interpreter whose torch the lab is built with, instead of the system's LibTorch")
add_library(gradstab_torch INTERFACE)

if(GRADSTAB_TORCH_PYTHON)
  # A package from PyPI. Its own CMake files want a CUDA toolkit of their version and may pair its headers with the
  # system's libraries; it brings everything that programs need, its BLAS, OpenMP and CUDA included.
  include(${PROJECT_SOURCE_DIR}/cmake/torch_of_python.cmake)
  gradstab_link_torch_of_python(gradstab_torch ${GRADSTAB_TORCH_PYTHON})
else()
  find_package(Torch REQUIRED)
  find_path(GRADSTAB_TORCH_API torch/torch.h PATHS /usr/include/torch/csrc/api/include)
  target_include_directories(gradstab_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS} ${GRADSTAB_TORCH_API})
  target_link_libraries(gradstab_torch INTERFACE ${TORCH_LIBRARIES})

  find_library(GRADSTAB_OPENBLAS_OPENMP NAMES libblas.so.3
               PATHS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/openblas-openmp NO_DEFAULT_PATH)
  if(GRADSTAB_OPENBLAS_OPENMP)
    get_filename_component(openblas_folder ${GRADSTAB_OPENBLAS_OPENMP} DIRECTORY)
    target_link_options(gradstab_torch INTERFACE "LINKER:--push-state,--no-as-needed"
                        ${openblas_folder}/libblas.so.3 ${openblas_folder}/liblapack.so.3
                        ${openblas_folder}/libopenblas.so.0 "LINKER:--pop-state" "LINKER:-rpath,${openblas_folder}")
    message(STATUS "BLAS: OpenBLAS, OpenMP build, in ${openblas_folder}")
  else()
    message(WARNING "OpenBLAS's OpenMP build was not found (Debian package libopenblas0-openmp); "
                    "training on the CPU will be much slower")
  endif()
endif()

# torch.h costs 20 seconds a translation unit; targets that include it share one precompiled header.
function(gradstab_use_torch target)
  target_link_libraries(${target} PRIVATE gradstab_torch)
  if(NOT TARGET gradstab_torch_pch)
    file(WRITE ${CMAKE_BINARY_DIR}/torch_pch.cpp "// carries the precompiled header of torch.h\n")
    add_library(gradstab_torch_pch OBJECT ${CMAKE_BINARY_DIR}/torch_pch.cpp)
    target_link_libraries(gradstab_torch_pch PRIVATE gradstab_torch)
    gradstab_compile_options(gradstab_torch_pch)
    target_precompile_headers(gradstab_torch_pch PRIVATE <torch/torch.h>)
  endif()
  target_precompile_headers(${target} REUSE_FROM gradstab_torch_pch)
endfunction()
