# Checks that a program of nothing but the public C header compiles, or with EXPECT=refused that it does not.
#   cmake -D COMPILER=cc -D "FLAGS=-xc|-std=c99" -D HEADER=gradstab.h -D INCLUDE=include [-D EXPECT=refused] -P header.cmake
string(REPLACE "|" ";" flags "${FLAGS}")
execute_process(COMMAND ${CMAKE_COMMAND} -E env LC_ALL=C ${COMPILER} ${flags} -fsyntax-only -I${INCLUDE} ${HEADER}
                RESULT_VARIABLE result OUTPUT_VARIABLE messages ERROR_VARIABLE messages)
if(EXPECT STREQUAL "refused" AND result EQUAL 0)
  message(FATAL_ERROR "compiles, although these flags must refuse it")
elseif(NOT EXPECT STREQUAL "refused" AND NOT result EQUAL 0)
  message(FATAL_ERROR "does not compile:\n${messages}")
endif()
