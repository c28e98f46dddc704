# Compiles UNIT, a source of this project, with the folders INCLUDE and the flags FLAGS. With FILE, also a path in
# ROOT: as if what matches FIND there were REPLACEMENT, which must fail with an error that matches PATTERN. Copies go to
# FOLDER.
string(REPLACE "|" ";" folders "${INCLUDE}")
set(unit ${ROOT}/${UNIT})
if(FILE)
  file(READ ${ROOT}/${FILE} text)
  string(REGEX REPLACE "${FIND}" "${REPLACEMENT}" changed "${text}")
  if(changed STREQUAL text)
    message(FATAL_ERROR "nothing in ${FILE} matches '${FIND}'")
  endif()
  file(REMOVE_RECURSE ${FOLDER})
  file(WRITE ${FOLDER}/${FILE} "${changed}")
  list(PREPEND folders ${FOLDER}/include ${FOLDER}/src)
  if(FILE STREQUAL UNIT)
    set(unit ${FOLDER}/${UNIT})
  endif()
endif()
list(TRANSFORM folders PREPEND -I)
# Compiled in earnest, because templates that are only parsed hide what they miss.
execute_process(
  COMMAND ${CMAKE_COMMAND} -E env LC_ALL=C ${COMPILER} -std=c++20 -O0 -Wall -Wextra -Werror ${FLAGS} ${folders} -c ${unit}
          -o ${FOLDER}.o
  RESULT_VARIABLE result ERROR_VARIABLE messages OUTPUT_VARIABLE messages)
if(NOT FILE AND NOT result EQUAL 0)
  message(FATAL_ERROR "what is complete does not compile:\n${messages}")
elseif(FILE AND result EQUAL 0)
  message(FATAL_ERROR "${UNIT} compiles without '${FIND}' of ${FILE}")
elseif(FILE AND NOT messages MATCHES "${PATTERN}")
  message(FATAL_ERROR "refused for another reason than '${PATTERN}':\n${messages}")
endif()
