# Builds an engine on a plain command line with the flags of pkg-config, and runs it.
#   cmake -D PKG_CONFIG=pkg-config -D PREFIX=dir -D LIBDIR=lib -D WORK=dir -D LINKAGE=shared -D SOVERSION=MAJOR.MINOR
#         -D READELF=readelf -D "COMPILE=c++ -std=c++20" -D SOURCE=engine.cpp -D PACKAGE=gradstab [-D EXPECTED=regex]
#         -P pkg_config.cmake
include(${CMAKE_CURRENT_LIST_DIR}/steps.cmake)
file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})
set(ENV{PKG_CONFIG_PATH} ${PREFIX}/${LIBDIR}/pkgconfig)
set(static)
if(LINKAGE STREQUAL "static")
  set(static --static)
  set(COMPILE "${COMPILE} -static")
else()
  set(ENV{LD_LIBRARY_PATH} ${PREFIX}/${LIBDIR})
endif()
get_filename_component(source ${SOURCE} ABSOLUTE BASE_DIR ${CMAKE_CURRENT_LIST_DIR})
run(sh -c "${COMPILE} ${source} $('${PKG_CONFIG}' --cflags --libs ${static} ${PACKAGE}) -o ${WORK}/engine")
run_engine(${WORK}/engine ${LINKAGE})
