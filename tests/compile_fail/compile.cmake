# Checks the syntax of SOURCE with the folders INCLUDE, which `|` separates. KIND "refused" defines GRADSTAB_MUST_NOT_COMPILE and
# expects the error PATTERN; "present" defines it and expects none.
set(definition)
if(NOT KIND STREQUAL "accepted")
  set(definition -DGRADSTAB_MUST_NOT_COMPILE)
endif()
string(REGEX REPLACE "[|;]" ";-I" include "-I${INCLUDE}")
execute_process(
  COMMAND ${CMAKE_COMMAND} -E env LC_ALL=C ${COMPILER} -std=c++20 -fsyntax-only -Wall -Wextra -Werror
          ${include} ${definition} ${SOURCE}
  RESULT_VARIABLE result ERROR_VARIABLE messages OUTPUT_VARIABLE messages)
if(NOT KIND STREQUAL "refused" AND NOT result EQUAL 0)
  message(FATAL_ERROR "correct use does not compile:\n${messages}")
elseif(KIND STREQUAL "refused" AND result EQUAL 0)
  message(FATAL_ERROR "wrong use compiles")
elseif(KIND STREQUAL "refused" AND NOT messages MATCHES "${PATTERN}")
  message(FATAL_ERROR "refused for another reason than '${PATTERN}':\n${messages}")
endif()
