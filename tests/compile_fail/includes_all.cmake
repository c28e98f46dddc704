# Fails unless HEADER includes every public C++ header, itself or by another.
#   cmake -D COMPILER=c++ -D INCLUDE=folder -D HEADER=gradstab.hpp -P includes_all.cmake
execute_process(COMMAND ${COMPILER} -std=c++20 -M -I${INCLUDE} -xc++ ${INCLUDE}/gradstab/${HEADER}
                OUTPUT_VARIABLE included COMMAND_ERROR_IS_FATAL ANY)
file(GLOB headers ${INCLUDE}/gradstab/*.hpp)
if(NOT headers)
  message(FATAL_ERROR "no headers in ${INCLUDE}/gradstab")
endif()
foreach(header IN LISTS headers)
  string(FIND "${included}" "${header}" at)
  if(at EQUAL -1)
    list(APPEND missing ${header})
  endif()
endforeach()
if(missing)
  list(JOIN missing ", " missing)
  message(FATAL_ERROR "${HEADER} does not include ${missing}")
endif()
