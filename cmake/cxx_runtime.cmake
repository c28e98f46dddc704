# One C++ library in a process: the shared one, which LibTorch and SentencePiece are linked with.
#
# Some compilers link libstdc++ statically when nobody has asked them to. A program or plugin with a libstdc++ of its own
# beside the shared one has two sets of locale facets, and a stream that was made by one and writes a number by the
# other crashes or fails. Where that would happen the shared library is named first, so that the static one is left
# with nothing to give. Concerns the targets that are added after this file is included.
if(UNIX AND NOT APPLE AND NOT CMAKE_CROSSCOMPILING)
  include(CheckCXXSourceRuns)
  check_cxx_source_runs([[
    #include <link.h>
    #include <cstring>
    #include <iostream>
    int is_libstdcxx(dl_phdr_info* object, std::size_t, void*) {
      return std::strstr(object->dlpi_name, "libstdc++") != nullptr;
    }
    int main() {
      std::cout << 1;
    #ifdef __GLIBCXX__
      return dl_iterate_phdr(is_libstdcxx, nullptr) ? 0 : 1;
    #endif
    }
  ]] GRADSTAB_SHARES_CXX_LIBRARY)
  if(NOT GRADSTAB_SHARES_CXX_LIBRARY)
    execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-file-name=libstdc++.so.6
                    OUTPUT_VARIABLE shared_cxx_library OUTPUT_STRIP_TRAILING_WHITESPACE)
    if(IS_ABSOLUTE "${shared_cxx_library}")
      add_link_options("SHELL:-Wl,--push-state,--no-as-needed ${shared_cxx_library} -Wl,--pop-state")
      message(STATUS "C++ library: ${shared_cxx_library}, before all others")
    else()
      message(WARNING "this compiler links libstdc++ statically and does not know where libstdc++.so.6 is; "
                      "programs and plugins that use LibTorch may crash")
    endif()
  endif()
endif()
