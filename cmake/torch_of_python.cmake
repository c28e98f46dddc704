# The LibTorch inside an interpreter's torch package. The interpreter is asked where it is: torch's own CMake files want
# a CUDA toolkit of its version, and may pair its headers with the system's libraries.
#
# Installed too, for projects that use gradstab::libtorch.

# gradstab_ask_for_torch(PREFIX INTERPRETER [SETTINGS of cmake -E env...]): sets PREFIX_VERSION, PREFIX_CXX11_ABI (0 or 1), PREFIX_FOLDER (of the
# libraries), PREFIX_INCLUDES and PREFIX_OPENMP (its own OpenMP library, or empty); or PREFIX_ERROR.
function(gradstab_ask_for_torch prefix interpreter)
  execute_process(
    COMMAND ${CMAKE_COMMAND} -E env ${ARGN} ${interpreter} ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/find_torch.py
    OUTPUT_VARIABLE found RESULT_VARIABLE missing ERROR_VARIABLE error OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(missing)
    set(${prefix}_ERROR "${interpreter} cannot import torch: ${error}" PARENT_SCOPE)
    return()
  endif()
  list(POP_FRONT found version cxx11_abi folder)
  file(GLOB openmp ${folder}/libgomp*.so*)
  if(openmp)
    list(GET openmp 0 openmp)
  endif()
  set(${prefix}_ERROR "" PARENT_SCOPE)
  set(${prefix}_VERSION ${version} PARENT_SCOPE)
  set(${prefix}_CXX11_ABI ${cxx11_abi} PARENT_SCOPE)
  set(${prefix}_FOLDER ${folder} PARENT_SCOPE)
  set(${prefix}_INCLUDES "${found}" PARENT_SCOPE)
  set(${prefix}_OPENMP "${openmp}" PARENT_SCOPE)
endfunction()

# gradstab_identify_torch(TARGET C10)
function(gradstab_identify_torch target c10)
  file(REAL_PATH ${c10} c10)
  set_property(TARGET ${target} PROPERTY GRADSTAB_C10 ${c10})
endfunction()

# gradstab_link_openmp(TARGET LIBRARY ERROR): torch's threads are OpenMP's, of this library where torch brings its own. A
# second one in the process would be a second pool of threads.
function(gradstab_link_openmp target library error)
  if(NOT library)
    find_package(OpenMP QUIET COMPONENTS CXX)
    if(NOT OpenMP_CXX_FOUND)
      set(${error} "the compiler's OpenMP library, on which torch's threads run, was not found" PARENT_SCOPE)
      return()
    endif()
    set(library ${OpenMP_CXX_LIBRARIES})
  endif()
  target_link_libraries(${target} INTERFACE ${library})
endfunction()

# gradstab_link_torch_of_python(TARGET INTERPRETER VERSION ERROR): TARGET, an interface, brings all of torch, its BLAS,
# OpenMP and CUDA included. VERSION and ERROR are as of gradstab_link_torch.
function(gradstab_link_torch_of_python target interpreter version error)
  gradstab_ask_for_torch(torch ${interpreter})
  if(NOT torch_ERROR AND NOT torch_CXX11_ABI)
    set(torch_ERROR "torch ${torch_VERSION} of ${interpreter} has the C++ ABI of before 2011, which other libraries have \
not; a torch of 2.6 or later has the new one")
  endif()
  if(torch_ERROR)
    set(${error} "${torch_ERROR}" PARENT_SCOPE)
    return()
  endif()
  target_include_directories(${target} SYSTEM INTERFACE ${torch_INCLUDES})

  # libtorch.so exports parts of a libstdc++ of its own: a program that took std::filesystem::remove_all from there
  # crashed. So the compiler's comes first.
  set(libraries "")
  execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-file-name=libstdc++.so.6
                  OUTPUT_VARIABLE cxx_library OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(IS_ABSOLUTE "${cxx_library}")
    list(APPEND libraries ${cxx_library})
  endif()
  # A program refers to nothing in libtorch_cuda, which registers itself when it is loaded, and which libtorch.so asks for.
  foreach(name torch torch_cpu c10)
    find_library(library_${name} ${name} PATHS ${torch_FOLDER} NO_DEFAULT_PATH NO_CACHE REQUIRED)
    list(APPEND libraries ${library_${name}})
  endforeach()
  target_link_options(${target} INTERFACE "LINKER:--push-state,--no-as-needed" ${libraries} "LINKER:--pop-state"
                      "LINKER:-rpath,${torch_FOLDER}")
  # What those libraries need in turn (CUDA's packages lie beside torch) is for the loader to find, not for the linker.
  target_link_options(${target} INTERFACE "LINKER:--allow-shlib-undefined" "LINKER:--unresolved-symbols=ignore-in-shared-libs")
  gradstab_link_openmp(${target} "${torch_OPENMP}" torch_ERROR)
  gradstab_identify_torch(${target} ${library_c10})
  set(${version} ${torch_VERSION} PARENT_SCOPE)
  set(${error} "${torch_ERROR}" PARENT_SCOPE)
endfunction()
