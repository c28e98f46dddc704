# What `cmake --install` puts where: headers, libraries, the CMake package and the pkg-config file. All of it can
# be moved to another place as a whole.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/gradstab)
set(libraries gradstab)
if(GRADSTAB_SHARED)
  list(APPEND libraries gradstab_shared)
  set_target_properties(gradstab_shared PROPERTIES EXPORT_NAME shared)
endif()

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/gradstab DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(TARGETS ${libraries} EXPORT gradstab-targets INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT gradstab-targets NAMESPACE gradstab:: DESTINATION ${package_dir})

# The LibTorch adaptor. Its CMake package finds torch where it is used, in the ways in which it was found here.
if(GRADSTAB_LIBTORCH)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/adaptors/libtorch/include/gradstab DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
          FILES_MATCHING PATTERN "*.hpp")
  install(TARGETS gradstab_libtorch EXPORT gradstab-libtorch-targets INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(EXPORT gradstab-libtorch-targets NAMESPACE gradstab:: DESTINATION ${package_dir})
  string(REGEX MATCH "^[0-9]+\\.[0-9]+" GRADSTAB_TORCH_MINOR_VERSION ${GRADSTAB_TORCH_VERSION})
  configure_file(${PROJECT_SOURCE_DIR}/cmake/gradstab-libtorch.cmake.in ${PROJECT_BINARY_DIR}/gradstab-libtorch.cmake @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/gradstab-libtorch.cmake ${PROJECT_SOURCE_DIR}/cmake/torch.cmake
                ${PROJECT_SOURCE_DIR}/cmake/torch_of_python.cmake ${PROJECT_SOURCE_DIR}/cmake/find_torch.py
          DESTINATION ${package_dir})
endif()

# What a linker that is not C++'s own needs to link the static library, by the names that this compiler uses.
set(GRADSTAB_CXX_RUNTIME ${CMAKE_CXX_IMPLICIT_LINK_LIBRARIES})
list(FILTER GRADSTAB_CXX_RUNTIME INCLUDE REGEX "^(stdc\\+\\+|c\\+\\+|m)$")
list(REMOVE_DUPLICATES GRADSTAB_CXX_RUNTIME)

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/gradstabConfig.cmake.in
                              ${PROJECT_BINARY_DIR}/gradstabConfig.cmake
                              INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
# Before 1.0 a new minor version may change what programs were built against.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/gradstabConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/gradstabConfig.cmake ${PROJECT_BINARY_DIR}/gradstabConfigVersion.cmake
        DESTINATION ${package_dir})

# pkg-config knows where its file is; from there to the rest.
set(pkgconfig_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
function(gradstab_from_prefix variable dir)
  if(IS_ABSOLUTE ${dir})
    set(${variable} ${dir} PARENT_SCOPE)
  else()
    set(${variable} "\${prefix}/${dir}" PARENT_SCOPE)
  endif()
endfunction()
gradstab_from_prefix(pc_includedir ${CMAKE_INSTALL_INCLUDEDIR})
gradstab_from_prefix(pc_libdir ${CMAKE_INSTALL_LIBDIR})
if(IS_ABSOLUTE ${pkgconfig_dir})
  set(pc_prefix ${CMAKE_INSTALL_PREFIX})
else()
  file(RELATIVE_PATH pc_prefix /${pkgconfig_dir} /)
  string(REGEX REPLACE "/$" "" pc_prefix ${pc_prefix})
  set(pc_prefix "\${pcfiledir}/${pc_prefix}")
endif()
list(TRANSFORM GRADSTAB_CXX_RUNTIME PREPEND -l OUTPUT_VARIABLE pc_runtime)
list(JOIN pc_runtime " " pc_runtime)
set(pc_runtime "-pthread ${pc_runtime}")
if(GRADSTAB_CUDA_BUILT AND CMAKE_DL_LIBS)
  set(pc_runtime "${pc_runtime} -l${CMAKE_DL_LIBS}")  # looks for the driver
endif()
if(GRADSTAB_SHARED)
  set(pc_libs "-lgradstab")
  set(pc_libs_private ${pc_runtime})
  set(pc_cflags "")
else()
  set(pc_libs "-lgradstab ${pc_runtime}")
  set(pc_libs_private "")
  set(pc_cflags " -DGRADSTAB_STATIC")
endif()
configure_file(${PROJECT_SOURCE_DIR}/cmake/gradstab.pc.in ${PROJECT_BINARY_DIR}/gradstab.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/gradstab.pc DESTINATION ${pkgconfig_dir})

# LibTorch has no pkg-config file of its own. Where it is the system's, in folders that every compiler looks into, ours
# says how to link it; where it is an interpreter's, only CMake's package can ask the interpreter.
if(GRADSTAB_LIBTORCH AND NOT GRADSTAB_TORCH_PYTHON)
  get_target_property(pc_torch_c10 gradstab_torch GRADSTAB_C10)
  get_filename_component(pc_torch_libdir ${pc_torch_c10} DIRECTORY)
  if(pc_torch_libdir IN_LIST CMAKE_CXX_IMPLICIT_LINK_DIRECTORIES)
    set(pc_torch_cflags "")
    foreach(folder IN LISTS GRADSTAB_TORCH_API)
      set(pc_torch_cflags "${pc_torch_cflags} -isystem ${folder}")
    endforeach()
    find_package(OpenMP REQUIRED COMPONENTS CXX)
    set(pc_torch_openmp ${OpenMP_CXX_LIB_NAMES})
    list(TRANSFORM pc_torch_openmp PREPEND -l)
    list(JOIN pc_torch_openmp " " pc_torch_openmp)
    configure_file(${PROJECT_SOURCE_DIR}/cmake/gradstab-libtorch.pc.in ${PROJECT_BINARY_DIR}/gradstab-libtorch.pc @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/gradstab-libtorch.pc DESTINATION ${pkgconfig_dir})
  endif()
endif()
