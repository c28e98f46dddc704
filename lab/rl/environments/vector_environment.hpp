// Several environments side by side, stepped by a team of threads.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/rl/environments/environment.hpp"

namespace gradstab::lab::rl {

/// An episode that has ended.
struct FinishedEpisode {
  int environment = 0;        ///< which one
  double episode_return = 0;  ///< sum of its rewards
  std::int64_t length = 0;    ///< its steps
  bool terminated = false;    ///< false: it was truncated
};

/// What one step of all environments gave. Row i belongs to environment i.
struct VectorStep {
  std::vector<double> rewards;
  std::vector<char> terminated, truncated;  ///< 1 for yes
  /// [environments, observation size], row-major: what each step itself led to. Where an episode ended, this
  /// is its last observation, which a truncated episode is bootstrapped from; what the agent acts on next is
  /// VectorEnvironment::observations(), the first of the next episode there.
  std::vector<double> next_observations;
  std::vector<FinishedEpisode> finished;  ///< in the order of the environments
};

/// Environments whose ended episodes are followed by new ones at once.
///
/// Environment i draws the noise of its episode e from {seed, i, e}, so that the numbers are the same for any
/// number of threads.
class VectorEnvironment {
 public:
  /// `count` environments of the kind of `first`, at least 1, and `threads` in all that step them, at least
  /// 1. No episode has begun: call reset or restore.
  VectorEnvironment(std::unique_ptr<Environment> first, int count, std::uint64_t seed, int threads);
  ~VectorEnvironment();
  VectorEnvironment(VectorEnvironment&&) noexcept;
  VectorEnvironment& operator=(VectorEnvironment&&) noexcept;

  const EnvironmentInfo& info() const noexcept;
  int count() const noexcept;

  /// Begins episode 0 in each.
  Status reset();
  /// Acts in each: `actions` is [count, action size], row-major. `outcome` is overwritten; its memory is
  /// reused. Errors are those of Environment::step and name the environment; some environments may have
  /// stepped then.
  Status step(std::span<const double> actions, VectorStep& outcome);
  /// What each agent sees now, [count, observation size], row-major.
  std::span<const double> observations() const noexcept;

  std::vector<EnvironmentState> save() const;
  /// Goes on from what save gave. shape_mismatch for another number of environments or another kind.
  Status restore(std::span<const EnvironmentState> states);
  /// The same as one run of bytes, for a checkpoint.
  std::string save_bytes() const;
  Status restore_bytes(std::string_view bytes);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace gradstab::lab::rl
