# The component libtorch is refused, in words that say why, where LibTorch has another version than the one that it was
# built with, and where it was not installed.
#   cmake -D PREFIX=dir -D LIBDIR=lib -D WORK=dir -D VERSION=1.13 -P wrong_torch.cmake
file(REMOVE_RECURSE ${WORK})
file(WRITE ${WORK}/CMakeLists.txt "cmake_minimum_required(VERSION 3.22)\nproject(training LANGUAGES CXX)\n"
                                  "find_package(gradstab CONFIG REQUIRED COMPONENTS libtorch)\n")

# refused(FOLDER PATTERN OPTION...)
function(refused folder pattern)
  execute_process(COMMAND ${CMAKE_COMMAND} -S ${WORK} -B ${WORK}/${folder} ${ARGN}
                  RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  string(REGEX REPLACE "[ \n]+" " " output "${output}")
  if(result EQUAL 0)
    message(FATAL_ERROR "libtorch was found (${folder})")
  elseif(NOT output MATCHES "${pattern}")
    message(FATAL_ERROR "${folder}: refused for another reason than '${pattern}':\n${output}")
  endif()
endfunction()

# An interpreter that answers as one with another torch would.
file(MAKE_DIRECTORY ${WORK}/torch/lib ${WORK}/torch/include)
foreach(library torch torch_cpu c10)
  file(WRITE ${WORK}/torch/lib/lib${library}.so "")
endforeach()
file(WRITE ${WORK}/python "#!/bin/sh\necho '99.1.0;1;${WORK}/torch/lib;${WORK}/torch/include'\n")
file(CHMOD ${WORK}/python PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
refused(other_version "was built with LibTorch ${VERSION}.*but the LibTorch found here is 99\\.1\\.0" -DCMAKE_PREFIX_PATH=${PREFIX}
        -DGRADSTAB_TORCH_PYTHON=${WORK}/python)
refused(no_torch "cannot import torch" -DCMAKE_PREFIX_PATH=${PREFIX} -DGRADSTAB_TORCH_PYTHON=${WORK}/nothing)

file(COPY ${PREFIX}/ DESTINATION ${WORK}/without)
file(REMOVE ${WORK}/without/${LIBDIR}/cmake/gradstab/gradstab-libtorch.cmake)
refused(not_installed "was built without the LibTorch adaptor" -DCMAKE_PREFIX_PATH=${WORK}/without)
