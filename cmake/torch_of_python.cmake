# The LibTorch inside an interpreter's torch package: headers and libraries, found by asking the interpreter.
function(gradstab_link_torch_of_python target interpreter)
  execute_process(
    COMMAND ${interpreter} ${PROJECT_SOURCE_DIR}/adaptors/python/find_torch.py
    OUTPUT_VARIABLE found RESULT_VARIABLE missing ERROR_VARIABLE error OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(missing)
    message(FATAL_ERROR "${interpreter} (GRADSTAB_TORCH_PYTHON) cannot import torch: ${error}")
  endif()
  list(POP_FRONT found version cxx11_abi folder)
  if(NOT cxx11_abi)
    message(FATAL_ERROR "torch ${version} of ${interpreter} has the C++ ABI of before 2011, which the other libraries of "
                        "the lab have not; a torch of 2.6 or later has the new one")
  endif()
  target_include_directories(${target} SYSTEM INTERFACE ${found})
  # Among its headers are those of its own fmt, found before the system's and of another version than the library.
  target_compile_definitions(${target} INTERFACE FMT_HEADER_ONLY)

  # The program refers to nothing in libtorch_cuda, which registers itself when it is loaded, and which libtorch.so asks for.
  set(libraries "")
  foreach(name torch torch_cpu c10)
    find_library(GRADSTAB_TORCH_OF_PYTHON_${name} ${name} PATHS ${folder} NO_DEFAULT_PATH REQUIRED)
    list(APPEND libraries ${GRADSTAB_TORCH_OF_PYTHON_${name}})
  endforeach()
  target_link_options(${target} INTERFACE "LINKER:--push-state,--no-as-needed" ${libraries} "LINKER:--pop-state"
                      "LINKER:-rpath,${folder}")
  # What those libraries need in turn (CUDA's packages lie beside torch) is for the loader to find, not for the linker.
  target_link_options(${target} INTERFACE "LINKER:--allow-shlib-undefined" "LINKER:--unresolved-symbols=ignore-in-shared-libs")
  message(STATUS "LibTorch: torch ${version} of ${interpreter}")
endfunction()
