#include "conformance/tensors.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <span>
#include <tuple>

namespace gradstab::testing {
namespace {

/// Spread evenly over [-1, 1), from the bits of a counter (splitmix64).
double uniform(std::uint64_t counter) {
  std::uint64_t bits = (counter + 1) * 0x9E3779B97F4A7C15u;
  bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9u;
  bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EBu;
  bits ^= bits >> 31;
  return static_cast<double>(bits >> 11) * 0x1p-52 - 1.0;
}

}  // namespace

const std::vector<Sizes>& ordinary_sizes() {
  static const std::vector<Sizes> sizes = {{1},  {0},   {3, 5},       {64, 33}, {},
                                           {31}, {257}, {2, 3, 4, 5}, {1, 1},   {3, 0, 2}};
  return sizes;
}

const std::vector<Sizes>& long_sizes() {
  static const std::vector<Sizes> sizes = {{65536},   {65537},  {3, 5}, {3, 70001}, {},
                                           {300, 70}, {100003}, {13},   {2, 80000}, {700, 3}};
  return sizes;
}

Tensors::Tensors(const std::vector<Sizes>& sizes, DType dtype, std::size_t offset) {
  for (const Sizes& each : sizes) {
    const auto count = static_cast<std::size_t>(element_count(each));
    elements_.push_back(std::make_unique<Elements>(dtype, count, offset));
    refs_.push_back({.data = elements_.back()->data(), .dtype = dtype, .sizes = each, .strides = {}});
  }
}

namespace {

void draw(int step, std::span<const std::unique_ptr<Elements>> tensors) {
  const double spike = step == 9 ? 40.0 : 1.0;
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    const double largest =
        spike * (0.25 + 0.125 * static_cast<double>((t + static_cast<std::size_t>(step)) % 5));
    const std::uint64_t seed =
        (static_cast<std::uint64_t>(step) << 40) + (static_cast<std::uint64_t>(t) << 32);
    for (std::size_t i = 0; i < tensors[t]->count(); ++i) tensors[t]->set(i, largest * uniform(seed + i));
  }
}

}  // namespace

void Tensors::fill(int step) {
  // Every row of the table asks for the same numbers, and drawing them takes longer than what is tested.
  using Key = std::tuple<DType, std::vector<std::size_t>, int>;
  static std::map<Key, std::vector<std::vector<std::byte>>> drawn;
  std::vector<std::size_t> counts;
  for (const auto& elements : elements_) counts.push_back(elements->count());
  const auto [found, fresh] = drawn.try_emplace(Key(refs_.front().dtype, counts, step));
  if (fresh) {
    draw(step, elements_);
    found->second = bytes();
  }
  for (std::size_t t = 0; t < size(); ++t) std::ranges::copy(found->second[t], elements_[t]->data());
}

void Tensors::copy(const Tensors& other) {
  for (std::size_t t = 0; t < size(); ++t) {
    std::memcpy(elements_[t]->data(), other[t].data(), other[t].bytes());
  }
}

void Tensors::fill_with(std::size_t tensor, double value) {
  for (std::size_t i = 0; i < elements_[tensor]->count(); ++i) elements_[tensor]->set(i, value);
}

std::vector<std::byte> Tensors::bytes(std::size_t tensor) const {
  const Elements& elements = *elements_[tensor];
  return {elements.data(), elements.data() + elements.bytes()};
}

std::vector<std::vector<std::byte>> Tensors::bytes() const {
  std::vector<std::vector<std::byte>> all;
  for (std::size_t t = 0; t < size(); ++t) all.push_back(bytes(t));
  return all;
}

bool Tensors::guards_intact() const {
  return std::ranges::all_of(elements_, [](const auto& elements) { return elements->guards_intact(); });
}

std::vector<Segment> segments_of(const StepReport& report, const Tensors& tensors) {
  std::vector<Segment> segments;
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    if (report.first_row.empty()) {
      segments.push_back({t, 0, tensors[t].count(), &report.tensors[t]});
      continue;
    }
    const std::size_t rows = report.first_row[t + 1] - report.first_row[t];
    const std::size_t count = rows == 0 ? 0 : tensors[t].count() / rows;
    for (std::size_t row = 0; row < rows; ++row) {
      segments.push_back({t, row * count, count, &report.rows[report.first_row[t] + row]});
    }
  }
  return segments;
}

}  // namespace gradstab::testing
