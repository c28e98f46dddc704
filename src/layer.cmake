# A layer of the library: an object library that sees its own headers and those of the layers below it, and no others.

# The public headers, below every layer.
add_library(gradstab_public_headers INTERFACE)
target_include_directories(gradstab_public_headers INTERFACE ${PROJECT_SOURCE_DIR}/include)

# gradstab_layer(NAME SEES headers SOURCES files...): the folder that calls this as layer gradstab_NAME. `headers` is what it
# sees beside its own: gradstab_core_headers, for example. Others see it by gradstab_NAME_headers, as "NAME/FILE.hpp".
#
# For that a link with this name, and nothing else, stands in a folder of the build. In the folder of sources it would have
# its neighbours beside it.
function(gradstab_layer layer)
  cmake_parse_arguments(arg "" "SEES" "SOURCES" ${ARGN})
  set(include_folder ${CMAKE_CURRENT_BINARY_DIR}/include)
  file(MAKE_DIRECTORY ${include_folder})
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${include_folder}/${layer} SYMBOLIC)
  add_library(gradstab_${layer}_headers INTERFACE)
  target_include_directories(gradstab_${layer}_headers INTERFACE ${include_folder})
  target_link_libraries(gradstab_${layer}_headers INTERFACE ${arg_SEES})

  add_library(gradstab_${layer} OBJECT ${arg_SOURCES})
  target_link_libraries(gradstab_${layer} PRIVATE gradstab_${layer}_headers)
  # One rounding per written operation, so that every compiler takes the same decisions bit for bit.
  target_compile_options(gradstab_${layer} PRIVATE -ffp-contract=off)
  # What is not marked GRADSTAB_API stays inside the shared library. Its own calls of what is marked stay inside too:
  # nobody replaces single functions of it.
  set_target_properties(gradstab_${layer} PROPERTIES CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
                                                     POSITION_INDEPENDENT_CODE ON)
  target_compile_options(gradstab_${layer} PRIVATE -fno-semantic-interposition)
  if(NOT GRADSTAB_SHARED)
    target_compile_definitions(gradstab_${layer} PRIVATE GRADSTAB_STATIC)
  endif()
  gradstab_compile_options(gradstab_${layer})
endfunction()
