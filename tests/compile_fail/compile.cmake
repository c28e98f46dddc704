# Checks the syntax of SOURCE; KIND "refused" defines GRADSTAB_MUST_NOT_COMPILE and expects the error PATTERN.
set(definition)
if(KIND STREQUAL "refused")
  set(definition -DGRADSTAB_MUST_NOT_COMPILE)
endif()
execute_process(
  COMMAND ${CMAKE_COMMAND} -E env LC_ALL=C ${COMPILER} -std=c++20 -fsyntax-only -Wall -Wextra -Werror
          -I${INCLUDE} ${definition} ${SOURCE}
  RESULT_VARIABLE result ERROR_VARIABLE messages OUTPUT_VARIABLE messages)
if(KIND STREQUAL "accepted" AND NOT result EQUAL 0)
  message(FATAL_ERROR "correct use does not compile:\n${messages}")
elseif(KIND STREQUAL "refused" AND result EQUAL 0)
  message(FATAL_ERROR "wrong use compiles")
elseif(KIND STREQUAL "refused" AND NOT messages MATCHES "${PATTERN}")
  message(FATAL_ERROR "refused for another reason than '${PATTERN}':\n${messages}")
endif()
