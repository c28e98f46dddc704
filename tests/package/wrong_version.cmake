# A project that asks for another minor version is refused, with words that name the version found.
#   cmake -D PREFIX=dir -D WORK=dir -D VERSION=MAJOR.MINOR.PATCH -D ASKED=MAJOR.MINOR -P wrong_version.cmake
file(REMOVE_RECURSE ${WORK})
file(WRITE ${WORK}/CMakeLists.txt "cmake_minimum_required(VERSION 3.22)\nproject(engine LANGUAGES CXX)\n"
                                  "find_package(gradstab ${ASKED} CONFIG REQUIRED)\n")
execute_process(COMMAND ${CMAKE_COMMAND} -S ${WORK} -B ${WORK}/build -DCMAKE_PREFIX_PATH=${PREFIX}
                RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(result EQUAL 0)
  message(FATAL_ERROR "version ${ASKED} was found where ${VERSION} is installed")
elseif(NOT output MATCHES "gradstabConfig.cmake, version: ${VERSION}")
  message(FATAL_ERROR "refused for another reason than the version:\n${output}")
endif()
