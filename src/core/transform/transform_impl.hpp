// The inside of a GradientTransform, shared with the optimizers that fold its factors into their updates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/base/state_codec.hpp"
#include "core/step/norm_transform.hpp"
#include "core/step/step_engine.hpp"
#include "gradstab/backend.hpp"
#include "gradstab/transform.hpp"

namespace gradstab {

struct GRADSTAB_LOCAL GradientTransform::Impl {
  Links links;
  Status error;  // of a factory; reported by init

  bool initialised = false;
  RunOptions options;
  const Backend* backend = nullptr;
  ParameterSet parameters;
  StepEngine engine;
  std::int64_t updates = 0;
  std::optional<std::int64_t> last_step;
  StepReport report;  // of the last update
  std::vector<std::size_t> pieces;

  /// Checks settings, finds the backend and binds. `pieces`, if not empty, asks for at least that many
  /// segments of each tensor.
  Status init(ParameterSet set, RunOptions run, std::vector<std::size_t> wanted_pieces = {});
  Status validate() const;
  Status bind();
  /// Whether this may be the number of a step.
  Status check_step(std::optional<std::int64_t> step) const;
  /// Takes the gradients of a step, and the values of the parameters where a link asks for them, or says what
  /// is wrong with them or with the step's number.
  Status take(std::span<const TensorRef> tensors, std::optional<std::int64_t> step,
              std::optional<std::span<const TensorRef>> values = {});
  /// Errors: a link that looks at more than the norms of whole tensors. `instead` ends the message.
  Status check_sees_norms_alone(std::string_view instead) const;
  Result<StepReport> decide(std::span<const double> squared_norms, std::optional<std::int64_t> step);
  /// The step over the gradients taken. With a sink they are not scaled; the sink gets them with their
  /// factors.
  Result<StepReport> run(std::optional<std::int64_t> step, GradientSink* sink = nullptr);

  /// What run() returns, over these tensors. If it fails, what links remember is as it was.
  template <class Run>
  auto undone_if_it_fails(IndexRange tensors, Run run) -> decltype(run()) {
    const std::size_t kept = links_to_keep();
    if (kept == 0) return run();
    const auto before = remember(kept, tensors);
    if (!before) return before.status();
    auto result = run();
    if (result.ok()) return result;
    return go_back(kept, tensors, *before, result.status());
  }
  /// How many links, from the first on, have decided when a decision fails; 0 if none can.
  std::size_t links_to_keep() const noexcept;
  Result<std::vector<std::byte>> remember(std::size_t kept, IndexRange tensors) const;
  /// `why`, after going back; or that this was not possible, and the transform is then not initialised.
  Status go_back(std::size_t kept, IndexRange tensors, std::span<const std::byte> before, const Status& why);

  /// Throws Error where a method of somebody else's does not say what it remembers.
  std::vector<std::byte> save() const;
  /// `names`: see GradientTransform::load; an empty one is that of a parameter to be forgotten.
  Status load(std::span<const std::byte> bytes, bool same_parameters,
              std::span<const std::string> names = {});
  Status rebind(ParameterSet now, std::span<const std::size_t> fresh);
  /// Whether a saved state is of these parameters.
  Status check_parameters(std::span<const std::byte> bytes, std::span<const std::string> names) const;
  Status load_payload(ByteReader& reader, bool same_parameters, std::span<const std::string> names);
  struct SavedList {
    std::vector<std::ptrdiff_t> position;
    std::vector<std::size_t> rows;
    std::vector<std::string> names;
  };
  Result<SavedList> read_parameters(ByteReader& reader, bool same_parameters,
                                    std::span<const std::string> names) const;
  /// The parameters' names, empty where they are among `forgotten`: what `load` takes as names to bring back
  /// the others.
  std::vector<std::string> names_without(const ParameterSet& now, std::span<const std::size_t> fresh) const;

  std::vector<ParameterStatistic> statistics(std::size_t index) const;
  Status set_statistics(std::span<const std::vector<ParameterStatistic>> of_parameters);
  Status set_statistics_of(std::size_t index, std::span<const ParameterStatistic> given);
};

}  // namespace gradstab
