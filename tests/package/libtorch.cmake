# The LibTorch adaptor in projects outside this one: the example of README.md and docs/libtorch.md is built, and trains.
set(torch_of_this_build -DGRADSTAB_TORCH_PYTHON=${GRADSTAB_TORCH_PYTHON})
set(more ${PROJECT_SOURCE_DIR}/examples/libtorch_one_line.cpp)
set(expected "step 200  loss 0\\.0[0-9]+  gradient norm [0-9.e+-]+ -> [0-9.e+-]+")
set(engines "libtorch_one_line=static")

set(checkout "")
package_project(Package.LibTorchIsFoundByCMake find_package_libtorch ${engines} ${installed} ${torch_of_this_build})
add_test(NAME Package.LibTorchIsRefused
         COMMAND ${script} -D LIBDIR=${CMAKE_INSTALL_LIBDIR} -D WORK=${CMAKE_CURRENT_BINARY_DIR}/wrong_torch
                 -D VERSION=${GRADSTAB_TORCH_VERSION} -P ${CMAKE_CURRENT_SOURCE_DIR}/wrong_torch.cmake)
set_tests_properties(Package.LibTorchIsRefused PROPERTIES FIXTURES_REQUIRED package_installed)
if(GRADSTAB_PKG_CONFIG AND EXISTS ${PROJECT_BINARY_DIR}/gradstab-libtorch.pc)
  add_test(NAME Package.LibTorchIsFoundByPkgConfig
           COMMAND ${script} -D PKG_CONFIG=${GRADSTAB_PKG_CONFIG} -D LIBDIR=${CMAKE_INSTALL_LIBDIR} -D PACKAGE=gradstab-libtorch
                   -D WORK=${CMAKE_CURRENT_BINARY_DIR}/pkg_config_libtorch -D LINKAGE=shared -D "EXPECTED=${expected}"
                   -D "COMPILE=${CMAKE_CXX_COMPILER} -std=c++20 ${warnings}" -D SOURCE=${more}
                   -P ${CMAKE_CURRENT_SOURCE_DIR}/pkg_config.cmake)
  set_tests_properties(Package.LibTorchIsFoundByPkgConfig PROPERTIES FIXTURES_REQUIRED package_installed)
endif()

set(checkout ${PROJECT_SOURCE_DIR})
package_project(Package.LibTorchIsBuiltInside fetch_content_libtorch ${engines} ${torch_of_this_build})

# LibTorch of the other kind, where there is one: gradstab is installed for it by the commands of docs/libtorch.md.
set(installed_with "-DGRADSTAB_LAB=OFF|-DGRADSTAB_DEVELOPER=OFF|-DGRADSTAB_SHARED=OFF|-DGRADSTAB_CUDA=OFF|-DGRADSTAB_LIBTORCH=ON")
if(GRADSTAB_TORCH_PYTHON)
  find_path(GRADSTAB_SYSTEM_TORCH TorchConfig.cmake NO_DEFAULT_PATH
            PATHS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/cmake/Torch /usr/share/cmake/Torch)
  if(GRADSTAB_SYSTEM_TORCH)
    set(folder installed_for_system)
    package_project(Package.LibTorchOfTheSystemIsInstalledAndFound find_package_libtorch ${engines})
  endif()
elseif(GRADSTAB_PYTHON)
  set(folder installed_for_python)
  package_project(Package.LibTorchOfPythonIsInstalledAndFound find_package_libtorch ${engines}
                  -DGRADSTAB_TORCH_PYTHON=${Python3_EXECUTABLE})
endif()
