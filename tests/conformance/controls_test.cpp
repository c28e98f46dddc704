// Negative controls: for each check, something broken that it must see.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "conformance/checks.hpp"
#include "conformance/table.hpp"
#include "core/step/norm_transform.hpp"
#include "support/gradients.hpp"

namespace gradstab::testing {
namespace {

using ::testing::HasSubstr;

/// A method made of one function of the reports, and of nothing that is saved.
class Broken : public NormTransform {
 public:
  using Rule = std::function<void(std::span<TensorReport>)>;
  explicit Broken(Rule rule) : rule_(std::move(rule)) {}

  std::string_view name() const noexcept override { return "broken"; }
  Status bind(const ParameterSet&, const Segments&) override { return {}; }
  void decide(std::size_t, std::span<TensorReport> reports, const Measures&) noexcept override {
    rule_(reports);
  }

 private:
  Rule rule_;
};

using Check = ::testing::AssertionResult (*)(const Subject&);

/// What a check says about this method.
template <class Method>
std::string verdict_of(Check check) {
  const auto result = check({.make = [] { return GradientTransform(std::make_unique<Method>()); },
                             .backend = "reference",
                             .dtype = DType::float32});
  EXPECT_FALSE(result);
  return result.message();
}

/// What a check says about a method with the rule that `rule` makes, afresh for every transform.
std::string verdict(Check check, const std::function<Broken::Rule()>& rule) {
  const auto result = check({.make = [&] { return GradientTransform(std::make_unique<Broken>(rule())); },
                             .backend = "reference",
                             .dtype = DType::float32});
  EXPECT_FALSE(result);
  return result.message();
}

/// What a check says about `stabilize` when somebody writes into the gradients behind its back.
std::string verdict_on(Check check, std::function<void(int, int, Tensors&)> tamper,
                       DType dtype = DType::float32) {
  Subject subject{.make = [] { return stabilize(); }, .backend = "reference", .dtype = dtype};
  EXPECT_TRUE(check(subject)) << "sound without the tampering";
  subject.tamper = std::move(tamper);
  const auto result = check(subject);
  EXPECT_FALSE(result);
  return result.message();
}

/// The smallest change of one element: the last bit of its encoding.
void flip_last_bit(Elements& elements, std::size_t index) {
  elements.data()[index * size_of(elements.dtype())] ^= std::byte{1};
}

Broken::Rule harmless() {
  return [](std::span<TensorReport>) {};
}

Broken::Rule multiply_all_by(double factor) {
  return [factor](std::span<TensorReport> reports) {
    for (TensorReport& report : reports) report.factor *= factor;
  };
}

TEST(ControlTest, AHarmlessRulePassesEveryCheck) {
  const Subject subject{.make = [] { return GradientTransform(std::make_unique<Broken>(harmless())); },
                        .backend = "reference",
                        .dtype = DType::float32};
  EXPECT_TRUE(keeps_the_element_type(subject));
  EXPECT_TRUE(leaves_zeros_unchanged(subject));
  EXPECT_TRUE(keeps_the_direction(subject));
  EXPECT_TRUE(accepts_no_parameters(subject));
  EXPECT_TRUE(refuses_another_number_of_gradients(subject));
  EXPECT_TRUE(leaves_absent_gradients_alone(subject));
  EXPECT_TRUE(resumes_exactly(subject));
  EXPECT_TRUE(is_deterministic(subject));
  EXPECT_TRUE(changes_nothing_on_errors(subject));
}

TEST(ControlTest, OneBitOfOneElementIsSeen) {
  for (const DType dtype : kAllDTypes) {
    const std::string seen = verdict_on(
        keeps_the_element_type,
        [](int, int step, Tensors& tensors) {
          if (step == 7) flip_last_bit(tensors[3], 1000);
        },
        dtype);
    EXPECT_EQ(seen, "step 7: tensor 3 is not its gradient times the reported factors, rounded once");
  }
}

TEST(ControlTest, AWriteBesideATensorIsSeen) {
  EXPECT_EQ(verdict_on(keeps_the_element_type,
                       [](int, int step, Tensors& tensors) {
                         if (step == 2) tensors[0].data()[sizeof(float)] = std::byte{0};
                       }),
            "step 2: something was written beside a tensor");
}

TEST(ControlTest, AnElementTypeOtherThanTheTensorsIsSeen) {
  EXPECT_THAT(verdict_on(
                  keeps_the_element_type,
                  [](int, int, Tensors& tensors) {
                    for (std::size_t i = 0; i < tensors[5].count(); ++i) {
                      tensors[5].set(i, to_float(to_bfloat16(tensors[5].get(i))));  // rounded once too often
                    }
                  },
                  DType::float16),
              HasSubstr("tensor 5 is not its gradient"));
}

TEST(ControlTest, AFactorThatMakesZerosIntoNaNIsSeen) {
  EXPECT_THAT(verdict(leaves_zeros_unchanged,
                      [] {
                        return [](std::span<TensorReport> reports) {
                          for (TensorReport& report : reports) report.factor *= 1.0 / report.raw_norm;
                        };
                      }),
              HasSubstr("the zeros of tensor"));
}

TEST(ControlTest, AFactorThatTurnsTheSignOfZerosIsSeen) {
  EXPECT_THAT(verdict(leaves_zeros_unchanged, [] { return multiply_all_by(-1.0); }),
              HasSubstr("the zeros of tensor"));
}

TEST(ControlTest, ATurnedDirectionIsSeen) {
  for (const DType dtype : kAllDTypes) {
    // One element of 2112 is moved by 8 roundoffs of the tensor's norm; 2 are what rounding may do.
    const std::string seen = verdict_on(
        keeps_the_direction,
        [dtype](int, int step, Tensors& tensors) {
          Elements& tensor = tensors[3];
          Values values;
          for (std::size_t i = 0; i < tensor.count(); ++i) values.push_back(tensor.get(i));
          if (step == 3) tensor.set(77, tensor.get(77) + 8.0 * unit_roundoff(dtype) * norm_of(values));
        },
        dtype);
    EXPECT_THAT(seen, HasSubstr("step 3: tensor 3 from element 0 turned")) << to_string(dtype);
  }
}

TEST(ControlTest, AReversedDirectionIsSeen) {
  EXPECT_THAT(verdict(keeps_the_direction, [] { return multiply_all_by(-1.0); }),
              HasSubstr("step 1: tensor 0 from element 0 turned: 1 - cos is 2"));
}

TEST(ControlTest, AMethodThatNeedsParametersIsSeen) {
  class NeedsParameters : public Broken {
   public:
    NeedsParameters() : Broken(harmless()) {}
    Status bind(const ParameterSet& parameters, const Segments&) override {
      return parameters.size() > 0 ? Status() : Status(StatusCode::invalid_argument, "no parameters");
    }
  };
  EXPECT_EQ(verdict_of<NeedsParameters>(accepts_no_parameters), "init: no parameters");
}

/// A state that is another one every time it is saved.
class Restless : public Broken {
 public:
  Restless() : Broken(harmless()) {}
  void save_state(ByteWriter& writer, IndexRange) const override { writer.put(++saved_); }
  Status load_state(ByteReader& reader, const SavedParameters&) override {
    reader.get<int>();
    return {};
  }

 private:
  mutable int saved_ = 0;
};

TEST(ControlTest, AStateThatChangesByItselfIsSeen) {
  EXPECT_EQ(verdict_of<Restless>(refuses_another_number_of_gradients), "the state changed");
  EXPECT_EQ(verdict_of<Restless>(changes_nothing_on_errors), "mistake 1 changed the state");
}

TEST(ControlTest, AFactorForAnAbsentGradientIsSeen) {
  EXPECT_EQ(verdict(leaves_absent_gradients_alone, [] { return multiply_all_by(0.5); }),
            "step 1: tensor 0 has a factor or a norm without a gradient");
}

TEST(ControlTest, AnAbsentGradientThatChangesTheOthersIsSeen) {
  const auto mean_over_the_present = [](std::span<TensorReport> reports) {
    const auto present = static_cast<double>(std::ranges::count_if(reports, &TensorReport::present));
    for (TensorReport& report : reports) report.factor = report.present ? 1.0 / present : 1.0;
  };
  EXPECT_EQ(verdict(leaves_absent_gradients_alone, [&] { return mean_over_the_present; }),
            "step 1: tensor 2 came out differently");
}

TEST(ControlTest, AWriteToAnAbsentGradientIsSeen) {
  EXPECT_EQ(verdict_on(leaves_absent_gradients_alone,
                       [](int run, int step, Tensors& tensors) {
                         if (run == 1 && step == 4) flip_last_bit(tensors[2], 0);
                       }),
            "step 4: tensor 2 came out differently");
}

/// Shrinks more with each call, and saves nothing of it.
Broken::Rule forgetful() {
  return [calls = 0](std::span<TensorReport> reports) mutable {
    ++calls;
    for (TensorReport& report : reports) report.factor /= calls;
  };
}

TEST(ControlTest, AStateThatIsNotSavedIsSeen) {
  EXPECT_EQ(verdict(resumes_exactly, forgetful),
            "interrupted after step 0, step 1: gradients of tensor 0 differ");
}

TEST(ControlTest, AnElementThatComesOutDifferentlyAfterResumingIsSeen) {
  EXPECT_EQ(verdict_on(resumes_exactly,
                       [](int run, int step, Tensors& tensors) {
                         if (run == 2 && step == 12) flip_last_bit(tensors[8], 0);
                       }),
            "interrupted after step 0, step 12: gradients of tensor 8 differ");
}

TEST(ControlTest, AnInfluenceOfEarlierRunsIsSeen) {
  int runs = 0;
  EXPECT_EQ(verdict(is_deterministic,
                    [&runs] {
                      return [mine = ++runs](std::span<TensorReport> reports) {
                        for (TensorReport& report : reports) report.factor = mine;
                      };
                    }),
            "with 1 threads, step 1: gradients of tensor 0 differ");
}

TEST(ControlTest, OneBitThatDependsOnTheThreadsIsSeen) {
  EXPECT_EQ(verdict_on(is_deterministic,
                       [](int run, int step, Tensors& tensors) {
                         if (run == 2 && step == 2) flip_last_bit(tensors[8], 159999);
                       }),
            "with 2 threads, step 2: gradients of tensor 8 differ");
}

TEST(ControlTest, AnErrorThatTouchesAGradientIsSeen) {
  // The refused call is the first of two in every step.
  int calls = 0;
  EXPECT_EQ(verdict_on(changes_nothing_on_errors,
                       [&calls](int run, int, Tensors& tensors) {
                         if (run == 1 && ++calls == 5) flip_last_bit(tensors[8], 0);
                       }),
            "mistake 3 changed gradients");
}

}  // namespace
}  // namespace gradstab::testing
