// DeviceEngine: the steps of one transform or optimizer on one device. Knows tensors, tables and launches;
// what the settings mean and how state is saved is the host's (on_device.hpp).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "backends/cuda/device.hpp"
#include "core/base/shared_memory.hpp"
#include "core/optimizer/optimizer_memory.hpp"
#include "core/step/norm_transform.hpp"
#include "cuda/plan.hpp"
#include "cuda/staged_upload.hpp"
#include "gradstab/tensor.hpp"

namespace gradstab::device {

/// What an engine is made for. The spans are read by `bind` alone.
struct EngineSetup {
  const ParameterSet* parameters = nullptr;  ///< outlives the engine
  StabilizerLink stabilizer;                 ///< without options: no decision on norms
  NonFinitePolicy nonfinite = NonFinitePolicy::skip_tensor;
  bool in_parts = false;      ///< see Tables::in_parts
  bool host_decides = false;  ///< by `fetch_squared_norms` and `give_decisions`, between the passes
  // Of an optimizer; empty where gradients are only scaled.
  std::span<const ParameterRule> rules;
  std::span<const std::size_t> group_of;
  std::size_t group_count = 0;
  bool measures = true;
  LowPrecision low_precision = LowPrecision::master_copy;
  std::uint64_t seed = 0;
};

class DeviceEngine {
 public:
  /// Plans and allocates. All state is fresh.
  Status bind(std::shared_ptr<Device> device, const EngineSetup& setup);

  /// Checks the tensors of a step, allocates state of parameters that have none, and tells the device where
  /// the tensors are, if it does not know yet. `parameters` is empty where gradients are only scaled.
  Status prepare(std::span<const TensorRef> parameters, std::span<const TensorRef> gradients, Stream stream);

  /// The first pass, after `prepare`: squared norms.
  Status measure(Stream stream);
  /// The other passes: decides on the squared norms, and scales or updates.
  Status finish(Stream stream);

  /// A step of one parameter of an optimizer, in three launches. Not counted as a step of all.
  Status step_one(std::size_t index, const TensorRef& parameter, const TensorRef& gradient, Stream stream);

  /// One squared norm per parameter on the device, between `measure` and `finish`: a process that has only
  /// parts of the tensors adds those of the others here.
  double* squared_norms() const noexcept { return tables_.tensor_squared; }
  /// The same on the host, where a parameter without gradient has kNoGradient; waits. Errors: the stream is
  /// being captured.
  Result<std::vector<double>> fetch_squared_norms(Stream stream) const;
  /// What `finish` is to do with each parameter.
  Status give_decisions(std::span<const GivenDecision> decisions, Stream stream);

  /// 1 on the device while the last step is one that changed nothing.
  const std::int32_t* skip_flag() const noexcept { return &tables_.counters->skip; }

  /// The settings that steps from now on read. Errors: the stream is being captured.
  Status set_groups(std::span<const GroupSettings> groups, Stream stream);

  /// Starts the copy of the reports of the last step; `reports` has them once it is done.
  Status request_reports(Stream stream);
  Result<bool> reports_are_ready() const;
  /// Waits for the copy. Errors: none was requested.
  struct Reports {
    std::span<const TensorReport> tensors;
    StepCounters counters;
  };
  Result<Reports> reports();

  /// What is remembered, for saving; waits for the stream.
  struct State {
    std::int64_t updates = 0;
    std::vector<NormMoments> moments;     ///< per parameter, where there is a stabilizer
    std::vector<ParameterMemory> memory;  ///< per parameter, of an optimizer
  };
  Result<State> download(Stream stream) const;
  Status upload(const State& state, Stream stream);

  /// Whether a parameter has state, and of which storage.
  std::span<const std::optional<ParameterStorage>> storages() const noexcept { return storages_; }

  const Device& device() const noexcept { return *device_; }
  bool optimizes() const noexcept { return tables_.optimizes; }

 private:
  Status allocate_tables(const EngineSetup& setup, const Plan& plan);
  Status check_gradient(std::size_t index, const TensorRef& gradient) const;
  Status check_parameter(std::size_t index, const TensorRef& parameter, const TensorRef& gradient) const;
  Status refuse_shared_memory(std::string_view what, bool parameters);
  Status allocate_states(Stream stream);
  Status send_addresses(Stream stream);
  /// Copies to or from memory of the caller's, and waits.
  Status fetch(void* to, const void* from, std::size_t bytes, Stream stream) const;
  Status put(void* to, const void* from, std::size_t bytes, Stream stream) const;
  std::size_t count() const noexcept { return addresses_.size(); }
  std::size_t elements(std::size_t index) const noexcept;

  std::shared_ptr<Device> device_;
  const ParameterSet* parameters_ = nullptr;
  LowPrecision low_precision_ = LowPrecision::master_copy;
  std::vector<ParameterRule> rules_;
  std::vector<RuleRange> ranges_;
  std::vector<std::uint32_t> first_segment_;  // per parameter
  struct ChunkRange {
    std::uint32_t first = 0;
    std::uint32_t count = 0;
  };
  std::vector<ChunkRange> chunks_;  // per parameter

  Memory table_memory_;
  std::vector<Memory> state_memory_;
  Tables tables_;
  std::byte* reports_from_ = nullptr;  // on the device: the counters, and at kReportsAt the reports

  std::vector<TensorAddress> addresses_;       // of this step
  std::vector<TensorAddress> sent_addresses_;  // what the device has
  bool addresses_known_ = false;               // false also once a graph may change them at any time
  StagedUpload address_upload_;
  StagedUpload group_upload_;
  StagedUpload decision_upload_;
  StagedUpload state_upload_;
  std::vector<TensorState> states_;
  std::vector<std::optional<ParameterStorage>> wanted_;    // of this step
  std::vector<std::optional<ParameterStorage>> storages_;  // of what is allocated
  SharedMemory memory_;

  static constexpr std::size_t kReportsAt = 256;
  Memory reports_;
  std::shared_ptr<void> reports_event_;
  enum class Requested : std::uint8_t { no, yes, by_a_graph };
  Requested requested_ = Requested::no;
};

}  // namespace gradstab::device
