// Prints, ends the process, opens files and asks for locales in every way that no_side_effects.sh is to
// notice.
#include <cassert>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <locale>
#include <sstream>

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
    case 5:
      std::setlocale(LC_ALL, path);
      std::ostringstream() << argument;
      std::locale::global(std::locale(path));
      break;
    default:
      assert(argument == 6);
  }
}

}  // namespace gradstab
