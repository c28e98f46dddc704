// A library that exports what it should not and hides what leaks.hpp declares. Each symbol is one that
// exports.sh is to notice.
#define LEAK __attribute__((visibility("default")))

namespace gradstab {

// The header was not included, which is how a mark gets lost.
int lost_mark(int value) {
  return value;
}
int forgotten_mark(int value) {
  return value;
}

class Unmarked {
 public:
  int member() const;
};
int Unmarked::member() const {
  return 1;
}

LEAK int internal_function(int value) {
  return value;
}

class LEAK StepEngine {
 public:
  virtual ~StepEngine();
  int run(int value);
};
StepEngine::~StepEngine() = default;
int StepEngine::run(int value) {
  return value;
}

class LEAK GradientTransform {
  struct Impl;
};
struct GradientTransform::Impl {
  int bind(int value);
};
int GradientTransform::Impl::bind(int value) {
  return value;
}

}  // namespace gradstab

namespace hwy {
LEAK int target(int value) {
  return value;
}
}  // namespace hwy

extern "C" {
LEAK int gradstab_undeclared(int value) {
  return value;
}
LEAK int stray(int value) {
  return value;
}
}
