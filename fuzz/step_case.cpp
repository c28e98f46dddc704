#include "step_case.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "support/elements.hpp"

namespace gradstab::fuzz {
namespace {

using Sizes = std::vector<std::int64_t>;

double read_decay(Input& input) {
  constexpr double kDecays[] = {0.6, 0.999, 0.0, 0.3, 0.9, 0.99, 1.0 - 0x1p-20, -1.0};
  const double decay = input.pick(kDecays);
  return decay < 0.0 ? input.fraction() : decay;
}

StabilizerOptions read_options(Input& input) {
  StabilizerOptions options;
  if (input.flag()) return options;
  constexpr double kEpsilons[] = {0.0, 0.0, 1e-12, 1e-3};
  constexpr double kKappas[] = {0.0, 3.0, 1.5, 1.0001, 20.0};
  constexpr double kRatios[] = {4.0, 1.0, 0.5, 100.0};
  options.gamma1 = read_decay(input);
  options.gamma2 = read_decay(input);
  options.epsilon = input.pick(kEpsilons);
  options.robust_kappa = input.pick(kKappas);
  options.bias_correction = input.flag();
  options.spike_ratio = input.pick(kRatios);
  return options;
}

Units read_units(Input& input) {
  switch (input.below(5)) {
    case 1:
      return Units::per_row();
    case 2:
      return Units::whole_model();
    case 3:
      return Units::by_name({{"g", {"t0", "t2"}}});
    case 4:
      return Units::by_name({{"t1", {"*1", "*3"}}, {"rest", {"*"}}});
    default:
      return Units::per_tensor();
  }
}

LinkCase read_link(Input& input) {
  LinkCase link;
  link.kind = static_cast<LinkCase::Kind>(input.below(3));
  if (link.kind == LinkCase::Kind::clip) {
    link.clip = {.max_norm = std::ldexp(1.0, static_cast<int>(input.below(40)) - 20),
                 .p = input.flag() ? kUnbounded : 2.0};
    return link;
  }
  link.options = read_options(input);
  link.units = read_units(input);
  return link;
}

Sizes read_sizes(Input& input) {
  const std::size_t rank = input.below(5);
  Sizes sizes;
  for (std::size_t d = 0; d < rank; ++d) sizes.push_back(static_cast<std::int64_t>(input.below(5)));
  return sizes;
}

/// Strides for any order of the axes, with gaps.
Sizes read_strides(Input& input, const Sizes& sizes) {
  if (input.flag()) return {};
  Sizes order(sizes.size());
  std::iota(order.begin(), order.end(), std::int64_t{0});
  for (std::size_t d = sizes.size(); d > 1; --d) std::swap(order[d - 1], order[input.below(d)]);
  Sizes strides(sizes.size());
  std::int64_t next = 1 + static_cast<std::int64_t>(input.below(3));
  for (const std::int64_t axis : order) {
    strides[static_cast<std::size_t>(axis)] = next;
    next = next * std::max<std::int64_t>(1, sizes[static_cast<std::size_t>(axis)]) +
           static_cast<std::int64_t>(input.below(3));
  }
  return strides;
}

/// Binary exponents that elements of a type may have, from denormals to near the end.
int read_exponent(Input& input, DType dtype) {
  constexpr int kSmall[] = {0, 0, 0, -3, 3, -9, 9, -14};
  if (input.flag()) return input.pick(kSmall);
  const double place = static_cast<double>(input.byte()) / 255.0;
  switch (dtype) {
    case DType::float16:
      return static_cast<int>(-24.0 + place * 39.0);
    case DType::float64:
      return static_cast<int>(-1074.0 + place * 2090.0);
    case DType::float32:
    case DType::bfloat16:
      return static_cast<int>(-140.0 + place * 267.0);
  }
  return 0;
}

testing::Values read_values(Input& input, DType dtype, std::size_t count) {
  const int exponent = read_exponent(input, dtype);
  const std::uint8_t kind = input.byte();
  std::uint64_t state = input.word();
  testing::Values values(count);
  for (double& value : values) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const double fraction = static_cast<double>(state >> 11) * 0x1p-53;
    const double magnitude = kind % 4 == 0 ? 1.0 : 1.0 + fraction;  // all alike, or of many digits
    const int spread = kind % 4 == 3 ? static_cast<int>(state >> 60) - 8 : 0;
    value = std::ldexp((state >> 10) % 2 ? magnitude : -magnitude, exponent + spread);
  }
  if (kind % 16 == 15) std::ranges::fill(values, 0.0);
  constexpr double kSpecial[] = {0.0,
                                 -0.0,
                                 std::numeric_limits<double>::quiet_NaN(),
                                 std::numeric_limits<double>::infinity(),
                                 -std::numeric_limits<double>::infinity(),
                                 std::numeric_limits<double>::max(),
                                 std::numeric_limits<double>::denorm_min(),
                                 65504.0};
  for (std::size_t pokes = input.below(8); pokes > 4 && count > 0; --pokes) {
    values[input.word() % count] = input.pick(kSpecial);
  }
  return values;
}

}  // namespace

GradientTransform StepCase::make() const {
  std::vector<GradientTransform> list;
  for (const LinkCase& link : links) {
    switch (link.kind) {
      case LinkCase::Kind::stabilize:
        list.push_back(stabilize(link.options, link.units));
        break;
      case LinkCase::Kind::record_norms:
        list.push_back(record_norms(link.options.spike_ratio, link.units));
        break;
      case LinkCase::Kind::clip:
        list.push_back(clip_by_global_norm(link.clip));
        break;
    }
  }
  return chain_of(std::move(list));
}

bool StepCase::per_row() const {
  return std::ranges::any_of(links,
                             [](const LinkCase& link) { return link.units.granularity == Granularity::row; });
}

bool StepCase::needs_max_abs() const {
  return std::ranges::any_of(links, [](const LinkCase& link) {
    return link.kind == LinkCase::Kind::clip && std::isinf(link.clip.p);
  });
}

StepCase read_case(Input& input) {
  StepCase step_case;
  const std::size_t links = 1 + input.below(4);
  while (step_case.links.size() < links) step_case.links.push_back(read_link(input));
  const std::size_t tensors = input.below(6);
  while (step_case.sizes.size() < tensors) step_case.sizes.push_back(read_sizes(input));
  step_case.policy = static_cast<NonFinitePolicy>(input.below(4));
  step_case.threads = input.below(32) == 31 ? 2 : 1;
  step_case.steps = 1 + input.below(14);
  // Rarely, for it takes long, a tensor or a row of more than a block: several partial sums are then added.
  if (input.byte() == 255) {
    constexpr std::int64_t kMoreThanABlock = 65539;
    if (input.flag()) {
      step_case.sizes = {{kMoreThanABlock}};
    } else {
      step_case.sizes = {{2, kMoreThanABlock}};
    }
    step_case.steps = 1;
  }
  return step_case;
}

std::vector<GradientCase> read_gradients(Input& input, const StepCase& step_case) {
  std::vector<GradientCase> gradients;
  for (const Sizes& sizes : step_case.sizes) {
    const DType dtype = testing::kAllDTypes[input.below(4)];
    const std::uint8_t presence = input.byte();
    const bool sparse = presence % 16 == 7;
    Sizes own = sizes;
    if (sparse && !own.empty()) own[0] = static_cast<std::int64_t>(input.below(8));
    const Sizes strides = read_strides(input, own);
    testing::StridedTensor tensor(dtype, own, strides);
    tensor.set(read_values(input, dtype, tensor.count()));
    gradients.push_back({std::move(tensor), presence % 16 != 3, sparse});
  }
  return gradients;
}

}  // namespace gradstab::fuzz
