# Configures, builds and runs a project outside this one. Its folder is made from scratch in WORK, of the
# CMakeLists.txt in PROJECT, the engines here and MORE sources, so that it sees what a stranger's project sees.
#   cmake -D PROJECT=find_package -D WORK=dir -D "ENGINES=engine=static|engine_shared=shared" -D SOVERSION=MAJOR.MINOR
#         -D READELF=readelf -D "OPTIONS=-Dname=value|..." [-D CHECKOUT=dir] [-D MORE=file] [-D EXPECTED=regex]
#         [-D "INSTALLED_WITH=-Dname=value|..."] -P cmake_project.cmake
# INSTALLED_WITH: the checkout is first built with these options, and installed for the project.
include(${CMAKE_CURRENT_LIST_DIR}/steps.cmake)
string(REPLACE "|" ";" OPTIONS "${OPTIONS}")
string(REPLACE "|" ";" ENGINES "${ENGINES}")
string(REPLACE "|" ";" INSTALLED_WITH "${INSTALLED_WITH}")
set(source ${WORK}/source)
file(REMOVE_RECURSE ${WORK})
file(COPY ${CMAKE_CURRENT_LIST_DIR}/${PROJECT}/CMakeLists.txt ${CMAKE_CURRENT_LIST_DIR}/engine.cpp
          ${CMAKE_CURRENT_LIST_DIR}/engine.c ${MORE} DESTINATION ${source})
if(CHECKOUT)
  file(MAKE_DIRECTORY ${source}/third_party)
  file(CREATE_LINK ${CHECKOUT} ${source}/third_party/gradstab SYMBOLIC)
endif()
set(ENV{CCACHE_BASEDIR} ${WORK})  # the library builds once for all projects
if(INSTALLED_WITH)
  run(${CMAKE_COMMAND} -S ${source}/third_party/gradstab -B ${WORK}/gradstab ${OPTIONS} ${INSTALLED_WITH})
  run(${CMAKE_COMMAND} --build ${WORK}/gradstab)
  run(${CMAKE_COMMAND} --install ${WORK}/gradstab --prefix ${WORK}/installed)
  list(APPEND OPTIONS -DCMAKE_PREFIX_PATH=${WORK}/installed)
endif()
run(${CMAKE_COMMAND} -S ${source} -B ${WORK}/build ${OPTIONS})
run(${CMAKE_COMMAND} --build ${WORK}/build)
foreach(engine IN LISTS ENGINES)
  string(REPLACE "=" ";" engine ${engine})
  list(GET engine 0 program)
  list(GET engine 1 linkage)
  run_engine(${WORK}/build/${program} ${linkage})
endforeach()
