# Parses UNIT, a source of this project, with the folders INCLUDE and the flags FLAGS. With FILE, also a path in ROOT: as
# if what matches FIND there were REPLACEMENT, which must fail with an error that matches PATTERN and one that matches
# NAME. Copies go to FOLDER.
string(REPLACE "|" ";" folders "${INCLUDE}")
set(unit ${ROOT}/${UNIT})
if(FILE)
  file(REMOVE_RECURSE ${FOLDER})
  # With its neighbours, because a header beside the one that includes it is found before all others.
  get_filename_component(neighbours ${FILE} DIRECTORY)
  get_filename_component(unit_folder ${UNIT} DIRECTORY)
  file(COPY ${ROOT}/${neighbours}/ DESTINATION ${FOLDER}/${neighbours} FILES_MATCHING PATTERN *.hpp)
  file(COPY ${ROOT}/${UNIT} DESTINATION ${FOLDER}/${unit_folder})
  set(unit ${FOLDER}/${UNIT})
  file(READ ${ROOT}/${FILE} text)
  string(REGEX REPLACE "${FIND}" "${REPLACEMENT}" changed "${text}")
  if(changed STREQUAL text)
    message(FATAL_ERROR "nothing in ${FILE} matches '${FIND}'")
  endif()
  file(WRITE ${FOLDER}/${FILE} "${changed}")
  list(PREPEND folders ${FOLDER}/include ${FOLDER}/src ${FOLDER}/adaptors/c)
endif()
list(TRANSFORM folders PREPEND -I)
execute_process(
  COMMAND ${CMAKE_COMMAND} -E env LC_ALL=C ${COMPILER} -std=c++20 -fsyntax-only -Wall -Wextra -Werror ${FLAGS} ${folders}
          ${unit}
  RESULT_VARIABLE result ERROR_VARIABLE messages OUTPUT_VARIABLE messages)
if(NOT FILE AND NOT result EQUAL 0)
  message(FATAL_ERROR "what is complete does not compile:\n${messages}")
elseif(FILE AND result EQUAL 0)
  message(FATAL_ERROR "${UNIT} compiles without '${FIND}' of ${FILE}")
elseif(FILE AND NOT (messages MATCHES "${PATTERN}" AND messages MATCHES "${NAME}"))
  message(FATAL_ERROR "refused for another reason than '${PATTERN}' with '${NAME}':\n${messages}")
endif()
