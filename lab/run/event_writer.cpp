#include "lab/run/event_writer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <protozero/pbf_writer.hpp>

#include "lab/support/event_format.hpp"
#include "lab/support/files.hpp"
#include "lab/support/numbers.hpp"

namespace gradstab::lab {
namespace {

using namespace event_format;

constexpr std::string_view kPrefix = "events.out.tfevents.";
constexpr std::string_view kSuffix = ".gradstab";

/// Seconds since 1970.
double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// The number in the name of one of our files; nothing for the name of another.
std::optional<std::int64_t> number_in(std::string_view name) {
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix) || name.size() < kPrefix.size() + kSuffix.size())
    return std::nullopt;
  name.remove_prefix(kPrefix.size());
  name.remove_suffix(kSuffix.size());
  const auto number = parse_number<std::int64_t>(name);
  return number ? std::optional(*number) : std::nullopt;
}

/// TensorBoard reads files in the order of their names, which have the time. A clock that was set back must
/// not put a new file before an old one.
std::filesystem::path next_name(const std::filesystem::path& folder) {
  auto number = static_cast<std::int64_t>(now());
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (const auto other = number_in(entry->path().filename().string()))
      number = std::max(number, *other + 1);
  }
  return folder / fmt::format("{}{:010}{}", kPrefix, number, kSuffix);
}

float as_float(double value) {
  // Beyond f32 the conversion is not defined.
  constexpr double kMost = std::numeric_limits<float>::max();
  if (std::fabs(value) > kMost) value = std::copysign(std::numeric_limits<double>::infinity(), value);
  return static_cast<float>(value);
}

/// A record with an event, which `fill` completes.
template <class Fill>
std::string record_of_event(std::int64_t step, Fill fill) {
  std::string event;
  protozero::pbf_writer writer(event);
  writer.add_double(kEventWallTime, now());
  writer.add_int64(kEventStep, step);
  fill(writer);
  std::string record;
  append_record(record, event);
  return record;
}

void add_scalars(const Json& object, const std::string& prefix, std::vector<Scalar>& scalars) {
  for (const auto& [key, value] : object.items()) {
    const std::string tag = prefix + key;
    if (key == "kind" || key == "step" || key.ends_with("_name")) continue;
    if (value.is_object())
      add_scalars(value, tag + "/", scalars);
    else if (value.is_boolean())
      scalars.push_back({tag, value.get<bool>() ? 1.0 : 0.0});
    else if (value.is_number())
      scalars.push_back({tag, value.get<double>()});
    else if (value.is_null() || value == "nan")
      scalars.push_back({tag, std::numeric_limits<double>::quiet_NaN()});
  }
}

double number_of(const Json& line, const char* key) {
  return as_number(line.value(key, Json())).value_or(std::numeric_limits<double>::quiet_NaN());
}

}  // namespace

std::vector<Scalar> scalars_of(const Json& line) {
  std::vector<Scalar> scalars;
  const std::string kind = as_text(line.value("kind", Json())).value_or("");
  add_scalars(line, (kind == "step" ? "train" : kind) + "/", scalars);
  if (kind == "step")
    scalars.push_back({"train/factor", number_of(line, "stabilized_norm") / number_of(line, "grad_norm")});
  return scalars;
}

bool is_own_event_file(std::string_view file_name) {
  return number_in(file_name).has_value();
}

Result<EventWriter> EventWriter::create(const std::filesystem::path& folder,
                                        std::optional<std::int64_t> restart) {
  std::filesystem::path path = next_name(folder);
  auto file = open_for_appending(path);
  if (!file) return file.status();
  EventWriter writer(std::move(path), *std::move(file));
  std::string begin = record_of_event(0, [](protozero::pbf_writer& event) {
    event.add_string(kEventFileVersion, kFileVersion.data(), kFileVersion.size());
  });
  if (restart) {
    begin += record_of_event(*restart, [](protozero::pbf_writer& event) {
      protozero::pbf_writer log(event, kEventSessionLog);
      log.add_enum(kSessionStatus, kSessionStart);
    });
  }
  GRADSTAB_RETURN_IF_ERROR(write_all(writer.file_, writer.path_, begin));
  return writer;
}

Status EventWriter::write(std::int64_t step, const std::vector<Scalar>& scalars) {
  return write_all(file_, path_, record_of_event(step, [&](protozero::pbf_writer& event) {
                     protozero::pbf_writer summary(event, kEventSummary);
                     for (const Scalar& scalar : scalars) {
                       protozero::pbf_writer value(summary, kSummaryValue);
                       value.add_string(kValueTag, scalar.tag);
                       value.add_float(kValueSimple, as_float(scalar.value));
                     }
                   }));
}

}  // namespace gradstab::lab
