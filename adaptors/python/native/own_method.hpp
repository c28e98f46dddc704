// A method that is written in Python: torch.classes.gradient_stabilizer.OwnMethod. The library calls one
// function for all such methods, which gradient_stabilizer/_own_methods.py has given it; what is asked and
// answered lies here.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/custom_class.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "gradstab/norm_method.hpp"
#include "settings.hpp"

namespace gradstab::python {

/// What a method is asked, in the words of _own_methods.py. Takes the number of a method, what it is to do,
/// and the unit, or how many there are; 0: done, the answer is there. It takes Python's lock by itself.
enum class Question : std::int32_t { reset, decide, save, load, save_unit, load_unit };
using Ask = std::int32_t (*)(std::int64_t id, std::int32_t question, std::int64_t unit);

/// The address of such a function, which stays for the rest of the process.
void set_ask(std::int64_t address);

class OwnMethod final : public torch::CustomClassHolder {
 public:
  /// `numbers` and `words` are its settings; `units` has "granularity" and "group:NAME" as methods have them.
  OwnMethod(std::string name, std::int64_t version, const Numbers& numbers, const Words& words,
            const Words& units, bool all_units, bool max_abs, bool parameter_norms);
  ~OwnMethod() override;

  std::int64_t id() const { return id_; }
  /// Whether the transform that had it is no more.
  bool is_left() const { return left_; }

  /// The question `decide`: float64 [units, 5], index, norm, finite, largest entry, norm of parameters.
  at::Tensor steps() const { return steps_; }
  /// The question `load`: what was saved, by name.
  std::tuple<std::vector<std::string>, std::vector<at::Tensor>, std::int64_t> saved() const {
    return {names_, values_, loaded_version_};
  }
  /// The answers: float64 factors and bool spikes, one per unit; what is remembered; an error, with the name
  /// of its code.
  void set_decision(at::Tensor factors, at::Tensor spikes);
  void set_memory(std::vector<std::string> names, std::vector<at::Tensor> values);
  void set_error(const std::string& code, std::string message);

  /// A transform of the method of that number. Throws where there is none.
  static GradientTransform make(std::int64_t id);

 private:
  friend class PythonMethod;

  std::int64_t id_ = 0;
  std::string name_;
  std::int32_t version_;
  std::vector<NormMethodSetting> settings_;
  NormMethodNeeds needs_;
  std::atomic<bool> left_ = false;
  at::Tensor steps_;
  at::Tensor factors_;
  at::Tensor spikes_;
  std::vector<std::string> names_;
  std::vector<at::Tensor> values_;
  std::int64_t loaded_version_ = 0;
  Status error_;
};

}  // namespace gradstab::python
