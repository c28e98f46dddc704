// Shared by the files inside the module, which are the only ones that see MuJoCo.
#pragma once

#include <mujoco/mujoco.h>

#include <cfenv>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>

#include "lab/rl/environments/mujoco_module.hpp"

namespace gradstab::lab::rl {

struct DeleteModel {
  void operator()(mjModel* model) const noexcept { mj_deleteModel(model); }
};
struct DeleteData {
  void operator()(mjData* data) const noexcept { mj_deleteData(data); }
};
using ModelPointer = std::unique_ptr<mjModel, DeleteModel>;
using DataPointer = std::unique_ptr<mjData, DeleteData>;

/// What MuJoCo calls its errors, which would otherwise end the program.
class MujocoError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// MuJoCo writes over several lines.
std::string one_line(std::string text);

/// Runs `action`; the message of what MuJoCo threw, empty if nothing.
template <class Action>
std::string caught(Action action) {
  try {
    action();
  } catch (const std::exception& error) {
    return one_line(error.what());
  }
  return {};
}

/// While it lives, this thread rounds as every thread begins with: a trainer that flushes denormal numbers
/// to zero must not change what its own thread simulates.
class DefaultArithmetic {
 public:
  DefaultArithmetic() {
    std::fegetenv(&before_);
    std::fesetenv(FE_DFL_ENV);
  }
  ~DefaultArithmetic() { std::fesetenv(&before_); }
  DefaultArithmetic(const DefaultArithmetic&) = delete;
  DefaultArithmetic& operator=(const DefaultArithmetic&) = delete;

 private:
  std::fenv_t before_{};
};

/// Everything that decides the motion.
nlohmann::ordered_json constants_of(const mjModel& model);

/// Draws through EGL without a screen. Null, and a message, where there is none.
std::unique_ptr<Renderer> make_renderer(const mjModel& model, int width, int height, std::string& error);

}  // namespace gradstab::lab::rl
