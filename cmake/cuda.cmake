# The CUDA back end's kernels, where there is a CUDA compiler.
#
# nvcc makes one file of machine code for several architectures, which becomes bytes of the library; the host code
# is ordinary C++ that finds the driver when it runs. So CMake's language CUDA, the CUDA runtime and nvcc's opinion
# of the C++ compiler that builds the rest are not needed, and a machine without a driver runs the library.
# Embedding projects ask for it: their builds do not get longer because a compiler happens to be there.
set(gradstab_cuda_default OFF)
if(PROJECT_IS_TOP_LEVEL)
  set(gradstab_cuda_default AUTO)
endif()
set(GRADSTAB_CUDA ${gradstab_cuda_default} CACHE STRING "the CUDA back end: ON, OFF, or AUTO where nvcc is found and works")
set_property(CACHE GRADSTAB_CUDA PROPERTY STRINGS AUTO ON OFF)
set(GRADSTAB_CUDA_ARCHITECTURES "80;90" CACHE STRING
    "compute capabilities to compile for; later ones run the last one's PTX")

# gradstab_find_cuda(result): whether to build it. Sets GRADSTAB_NVCC and GRADSTAB_CUDA_FLAGS.
function(gradstab_find_cuda result)
  set(${result} OFF PARENT_SCOPE)
  string(TOUPPER "${GRADSTAB_CUDA}" wish)
  if(NOT wish STREQUAL "AUTO")
    if(NOT GRADSTAB_CUDA)
      return()
    endif()
  endif()
  set(reason "")
  find_program(GRADSTAB_NVCC nvcc HINTS ENV CUDACXX ENV CUDA_HOME ENV CUDA_PATH PATH_SUFFIXES bin
               PATHS /usr/local/cuda/bin /opt/cuda/bin DOC "the CUDA compiler")
  if(NOT CMAKE_EXECUTABLE_FORMAT STREQUAL "ELF")
    set(reason "the kernels are embedded into ELF files only")
  elseif(NOT GRADSTAB_NVCC)
    set(reason "nvcc was not found; name it with -DGRADSTAB_NVCC=PATH")
  else()
    set(flags -std=c++20 -O3 --fmad=false -diag-suppress 186)
    foreach(architecture IN LISTS GRADSTAB_CUDA_ARCHITECTURES)
      list(APPEND flags -gencode arch=compute_${architecture},code=sm_${architecture})
    endforeach()
    list(GET GRADSTAB_CUDA_ARCHITECTURES -1 last)
    list(APPEND flags -gencode arch=compute_${last},code=compute_${last})
    # A trial, because an nvcc may be there and refuse the C++ compiler that it finds.
    set(trial ${CMAKE_BINARY_DIR}/CMakeFiles/gradstab_cuda_trial)
    file(WRITE ${trial}.cu "#include <cmath>\n#include <optional>\n#include <string>\n"
                           "extern \"C\" __global__ void k(double* x) { *x = std::pow(*x, 2.0); }\n")
    execute_process(COMMAND ${GRADSTAB_NVCC} ${flags} -fatbin -o ${trial}.fatbin ${trial}.cu
                    RESULT_VARIABLE failed OUTPUT_VARIABLE output ERROR_VARIABLE output)
    get_filename_component(nvcc_real ${GRADSTAB_NVCC} REALPATH)
    get_filename_component(toolkit ${nvcc_real}/../.. ABSOLUTE)
    find_path(GRADSTAB_CUDA_INCLUDE cuda.h HINTS ${toolkit}/include ${toolkit}/targets/x86_64-linux/include
              PATHS /usr/local/cuda/include DOC "where cuda.h is")
    if(failed)
      string(STRIP "${output}" output)
      set(reason "${GRADSTAB_NVCC} does not work here:\n${output}\n")
    elseif(NOT GRADSTAB_CUDA_INCLUDE)
      set(reason "cuda.h was not found; name its folder with -DGRADSTAB_CUDA_INCLUDE=PATH")
    endif()
  endif()
  if(NOT reason)
    message(STATUS "CUDA: ${GRADSTAB_NVCC} for compute capabilities ${GRADSTAB_CUDA_ARCHITECTURES} and later")
    set(GRADSTAB_CUDA_FLAGS "${flags}" PARENT_SCOPE)
    set(${result} ON PARENT_SCOPE)
  elseif(wish STREQUAL "AUTO")
    message(STATUS "CUDA: not built, because ${reason}")
  else()
    message(FATAL_ERROR "GRADSTAB_CUDA is ${GRADSTAB_CUDA}, but ${reason}")
  endif()
endfunction()

# gradstab_add_cuda(layer): adds the driver and the kernels to this layer of the library, or what stands for them where they are
# not built. What links the objects needs CMAKE_DL_LIBS where GRADSTAB_CUDA_BUILT.
function(gradstab_add_cuda target)
  set(folder ${PROJECT_SOURCE_DIR}/src/backends/cuda)
  gradstab_find_cuda(found)
  set(GRADSTAB_CUDA_BUILT ${found} CACHE INTERNAL "whether the CUDA back end is built")
  if(NOT found)
    target_sources(${target} PRIVATE ${folder}/no_cuda_device.cpp)
    return()
  endif()
  set(image ${CMAKE_CURRENT_BINARY_DIR}/gradstab_kernels.fatbin)
  set(headers $<TARGET_PROPERTY:${target}_headers,INTERFACE_INCLUDE_DIRECTORIES>)
  add_custom_command(OUTPUT ${image}
    COMMAND ${GRADSTAB_NVCC} ${GRADSTAB_CUDA_FLAGS} "-I$<JOIN:${headers},;-I>"
            -MD -MF ${image}.d -MT ${image} -fatbin -o ${image} ${folder}/kernels.cu
    DEPENDS ${folder}/kernels.cu DEPFILE ${image}.d VERBATIM COMMAND_EXPAND_LISTS COMMENT "Compiling the CUDA kernels")
  target_sources(${target} PRIVATE ${folder}/cuda_device.cpp ${folder}/driver.cpp ${folder}/kernels_image.cpp)
  set_source_files_properties(${folder}/kernels_image.cpp PROPERTIES
    OBJECT_DEPENDS ${image} COMPILE_DEFINITIONS "GRADSTAB_KERNELS_IMAGE=\"${image}\"")
  target_include_directories(${target} SYSTEM PRIVATE ${GRADSTAB_CUDA_INCLUDE})
endfunction()
