// MuJoCo behind a module that is loaded when an environment is made, so that a program which simulates
// nothing needs no MuJoCo, and one that was built without it says what is missing. This header is all that
// the rest of the lab sees of it.
//
// Errors are texts of one line, empty for success.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/rl/environments/environment.hpp"

namespace gradstab::lab::rl {

/// The numbers that decide how large everything is.
struct PhysicsSizes {
  int positions = 0;   ///< nq
  int velocities = 0;  ///< nv
  int controls = 0;    ///< nu
  int bodies = 0;      ///< nbody, the world included
};

/// One simulated world. Not safe to use from two threads at once; two simulations of one model are.
class Simulation {
 public:
  virtual ~Simulation() = default;

  // Views of the state, which stay valid as long as this object.
  virtual std::span<double> position() noexcept = 0;
  virtual std::span<double> velocity() noexcept = 0;
  /// Where the constraint solver starts from (qacc_warmstart).
  virtual std::span<double> solver_start() noexcept = 0;
  /// Of the latest evaluation (qacc).
  virtual std::span<const double> acceleration() const noexcept = 0;
  virtual double& time() noexcept = 0;

  /// To the model's reference pose, at rest, at time 0.
  virtual void reset() noexcept = 0;
  /// Evaluates everything at the state as it is, with controls of zero. Normalizes quaternions in it.
  virtual std::string evaluate() = 0;
  /// Holds `controls` for so many substeps. Anything that MuJoCo warns of is an error: it answers numbers
  /// that have got lost by starting again, and a full list of contacts by leaving some out.
  virtual std::string advance(std::span<const double> controls, int substeps) = 0;

  /// Where the latest evaluation saw a body.
  virtual std::array<double, 3> body_position(int body) const noexcept = 0;
  /// Contacts of the latest evaluation.
  virtual int contacts() const noexcept = 0;
  /// Where the shapes are at the position as it is; computed apart, so that nothing above changes.
  virtual void poses(std::span<ShapePose> poses) const = 0;
};

/// Draws a simulation into memory. Must be used by the thread that made it, one at a time in a thread.
class Renderer {
 public:
  virtual ~Renderer() = default;
  /// Replaces `pixels` by width x height x RGB, from the top row down. Follows the first body along x and y.
  virtual std::string draw(std::span<const double> position, std::vector<std::uint8_t>& pixels) = 0;
};

/// A compiled model, which never changes.
class PhysicsModel {
 public:
  virtual ~PhysicsModel() = default;
  virtual const PhysicsSizes& sizes() const noexcept = 0;
  virtual double substep_seconds() const noexcept = 0;
  /// Of each body; the world's is 0.
  virtual std::span<const double> masses() const noexcept = 0;
  virtual std::span<const Shape> shapes() const noexcept = 0;
  /// Everything that decides the motion, by MuJoCo's names (docs/rl.md).
  virtual nlohmann::ordered_json constants() const = 0;
  virtual std::unique_ptr<Simulation> simulation() const = 0;
  /// Null, and a message, where there is no software to draw with.
  virtual std::unique_ptr<Renderer> renderer(int width, int height, std::string& error) const = 0;
};

/// A file that a model may name.
struct ModelFile {
  std::string_view name, text;
};

class MujocoModule {
 public:
  virtual ~MujocoModule() = default;
  /// "2.2.2"
  virtual std::string version() const = 0;
  /// Compiles the first of `files`, which may include the others. Null, and a message, for what MuJoCo
  /// refuses.
  virtual std::shared_ptr<const PhysicsModel> compile(std::span<const ModelFile> files,
                                                      std::string& error) const = 0;
};

/// The version whose numbers the recorded roll-outs in the tests are of.
inline constexpr const char* kRecordedMujoco = "2.2.2";

/// The name of the module's only exported function, a `MujocoEntryPoint`.
inline constexpr const char* kMujocoEntryPoint = "gradstab_mujoco_module";
using MujocoEntryPoint = const MujocoModule* (*)();

/// Loads the module once per process, from ../lib/gradstab beside the program or from the build tree.
/// failed_precondition when it cannot be loaded or was not built.
Result<const MujocoModule*> mujoco_module();

}  // namespace gradstab::lab::rl
