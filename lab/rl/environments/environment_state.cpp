#include <fmt/format.h>

#include "lab/rl/environments/environment.hpp"
#include "lab/support/byte_reader.hpp"
#include "lab/support/hashing.hpp"

namespace gradstab::lab::rl {
namespace {

// The bytes: "GSTBENV1"; position, velocity, acceleration, each a u64 count and as many doubles; torso, time
// and episode_return as doubles; the key's three numbers and steps as 64-bit integers; FNV-1a of all that.
constexpr std::string_view kMagic = "GSTBENV1";

template <class T>
void append(std::string& bytes, const T& value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void append_numbers(std::string& bytes, const std::vector<double>& numbers) {
  append(bytes, static_cast<std::uint64_t>(numbers.size()));
  for (const double number : numbers) append(bytes, number);
}

std::vector<double> read_numbers(ByteReader& reader) {
  const auto count = reader.number<std::uint64_t>();
  std::vector<double> numbers;
  for (std::uint64_t i = 0; i < count && reader.ok(); ++i) numbers.push_back(reader.number<double>());
  return numbers;
}

}  // namespace

std::string encode_state(const EnvironmentState& state) {
  std::string bytes(kMagic);
  append_numbers(bytes, state.position);
  append_numbers(bytes, state.velocity);
  append_numbers(bytes, state.acceleration);
  for (const double place : state.torso) append(bytes, place);
  append(bytes, state.time);
  append(bytes, state.episode_return);
  append(bytes, state.key.seed);
  append(bytes, state.key.environment);
  append(bytes, state.key.episode);
  append(bytes, state.steps);
  append(bytes, fnv1a64(bytes));
  return bytes;
}

Result<EnvironmentState> decode_state(std::string_view bytes) {
  const auto damaged = [](std::string_view how) {
    return Status(StatusCode::corrupt_data, fmt::format("the state of an environment is {}", how));
  };
  if (bytes.substr(0, kMagic.size()) != kMagic) return damaged("in a format that is not known");
  if (bytes.size() < kMagic.size() + sizeof(std::uint64_t)) return damaged("cut off");
  const std::string_view content = bytes.substr(0, bytes.size() - sizeof(std::uint64_t));
  ByteReader checksum(bytes.substr(content.size()));
  if (checksum.number<std::uint64_t>() != fnv1a64(content)) return damaged("damaged");
  ByteReader reader(content.substr(kMagic.size()));
  EnvironmentState state;
  state.position = read_numbers(reader);
  state.velocity = read_numbers(reader);
  state.acceleration = read_numbers(reader);
  for (double& place : state.torso) place = reader.number<double>();
  state.time = reader.number<double>();
  state.episode_return = reader.number<double>();
  state.key.seed = reader.number<std::uint64_t>();
  state.key.environment = reader.number<std::uint64_t>();
  state.key.episode = reader.number<std::uint64_t>();
  state.steps = reader.number<std::int64_t>();
  if (!reader.ok() || reader.left() != 0) return damaged("cut off");
  return state;
}

}  // namespace gradstab::lab::rl
