// Prints, ends the process and opens files in every way that no_side_effects.sh is to notice.
#include <cassert>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>

namespace gradstab {

void do_everything(int argument, const char* path) {
  switch (argument) {
    case 0:
      std::printf("%d", argument);
      std::puts(path);
      std::fprintf(stderr, "%d", argument);
      std::cout << argument;
      std::cerr << argument;
      break;
    case 1:
      std::abort();
    case 2:
      std::exit(1);
    case 3:
      std::terminate();
    case 4:
      if (std::FILE* file = std::fopen(path, "r")) std::fclose(file);
      std::ofstream(path) << argument;
      std::filesystem::remove(path);
      break;
    default:
      assert(argument == 5);
  }
}

}  // namespace gradstab
