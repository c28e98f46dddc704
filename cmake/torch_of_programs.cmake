# What this project's own programs want of LibTorch beyond linking it: one precompiled header, and a fast BLAS.
add_library(gradstab_torch_of_programs INTERFACE)
target_link_libraries(gradstab_torch_of_programs INTERFACE gradstab_torch)

if(GRADSTAB_TORCH_PYTHON)
  # Among its headers are those of its own fmt, found before the system's and of another version than the library.
  target_compile_definitions(gradstab_torch_of_programs INTERFACE FMT_HEADER_ONLY)
else()
  # Debian's LibTorch asks the system for "libblas.so.3". Which library answers is a system-wide alternative: often the
  # reference BLAS (twenty times slower) or the pthread build of OpenBLAS (whose threads fight OpenMP's). The programs
  # therefore name OpenBLAS's OpenMP build first, and the loader takes the one already loaded.
  find_library(GRADSTAB_OPENBLAS_OPENMP NAMES libblas.so.3
               PATHS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/openblas-openmp NO_DEFAULT_PATH)
  if(GRADSTAB_OPENBLAS_OPENMP)
    get_filename_component(openblas_folder ${GRADSTAB_OPENBLAS_OPENMP} DIRECTORY)
    target_link_options(gradstab_torch_of_programs INTERFACE "LINKER:--push-state,--no-as-needed"
                        ${openblas_folder}/libblas.so.3 ${openblas_folder}/liblapack.so.3
                        ${openblas_folder}/libopenblas.so.0 "LINKER:--pop-state" "LINKER:-rpath,${openblas_folder}")
    message(STATUS "BLAS: OpenBLAS, OpenMP build, in ${openblas_folder}")
  elseif(GRADSTAB_LAB)
    message(WARNING "OpenBLAS's OpenMP build was not found (Debian package libopenblas0-openmp); "
                    "training on the CPU will be much slower")
  endif()
endif()

# torch.h costs 20 seconds a translation unit; targets that include it share one precompiled header.
function(gradstab_use_torch target)
  target_link_libraries(${target} PRIVATE gradstab_torch_of_programs)
  if(NOT TARGET gradstab_torch_pch)
    file(WRITE ${PROJECT_BINARY_DIR}/torch_pch.cpp "// carries the precompiled header of torch.h\n")
    add_library(gradstab_torch_pch OBJECT ${PROJECT_BINARY_DIR}/torch_pch.cpp)
    target_link_libraries(gradstab_torch_pch PRIVATE gradstab_torch_of_programs)
    gradstab_compile_options(gradstab_torch_pch)
    target_precompile_headers(gradstab_torch_pch PRIVATE <torch/torch.h>)
  endif()
  target_precompile_headers(${target} REUSE_FROM gradstab_torch_pch)
endfunction()
