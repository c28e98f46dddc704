#include <iostream>

int main() {
  std::cout << 1.5 << '\n';
}
