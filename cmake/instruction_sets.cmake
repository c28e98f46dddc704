# Kernels that are built once for every processor of the architecture, once with AVX2 and, where it pays, once with
# AVX-512; a file of each, encoder_kernels_select.cpp for one, picks at run time (lab/nn/instruction_set.hpp).
find_package(OpenMP REQUIRED)

# gradstab_add_kernels(TARGET SOURCE [AVX512]) adds the builds of SOURCE to the library TARGET, each in the namespace
# GRADSTAB_KERNEL_SET of its instruction set. SOURCE includes no torch, so it stays outside targets that carry its
# precompiled header.
function(gradstab_add_kernels target source)
  gradstab_kernel_build(${target} ${source} baseline)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    gradstab_kernel_build(${target} ${source} avx2 -mavx2 -mfma)
    target_compile_definitions(${target} PRIVATE GRADSTAB_LAB_AVX2)
    if("AVX512" IN_LIST ARGN)
      # Compilers prefer half of such a vector otherwise.
      gradstab_kernel_build(${target} ${source} avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma
                            -mprefer-vector-width=512)
      target_compile_definitions(${target} PRIVATE GRADSTAB_LAB_AVX512)
    endif()
  endif()
  target_link_libraries(${target} PRIVATE OpenMP::OpenMP_CXX)
endfunction()

function(gradstab_kernel_build target source instruction_set)
  get_filename_component(name ${source} NAME_WE)
  set(build ${target}_${name}_${instruction_set})
  add_library(${build} OBJECT ${source})
  target_include_directories(${build} PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_definitions(${build} PRIVATE GRADSTAB_KERNEL_SET=${instruction_set})
  # Neither option changes a value, NaN included; both are needed for loops with branches to become vector code.
  target_compile_options(${build} PRIVATE -O3 -fno-math-errno -fno-trapping-math ${ARGN})
  target_link_libraries(${build} PRIVATE OpenMP::OpenMP_CXX)
  gradstab_compile_options(${build})
  target_sources(${target} PRIVATE $<TARGET_OBJECTS:${build}>)
endfunction()
