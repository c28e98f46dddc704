#include "lab/inspect/readers/event_files.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <protozero/pbf_reader.hpp>

#include "gradstab/tensor.hpp"
#include "lab/inspect/readers/buffered.hpp"
#include "lab/support/byte_reader.hpp"
#include "lab/support/event_format.hpp"

namespace gradstab::lab::inspect {
namespace {

using namespace event_format;

/// Scalars have 60 bytes; a larger record holds a picture or a graph, and is passed over.
constexpr std::uint64_t kLargestRecord = std::uint64_t{16} << 20;

std::string_view view(protozero::data_view data) {
  return {data.data(), data.size()};
}

/// The single number in the bytes of a tensor.
template <class T>
std::optional<double> only(std::string_view content) {
  if (content.size() != sizeof(T)) return std::nullopt;
  return static_cast<double>(ByteReader(content).number<T>());
}

std::optional<double> in_content(int type, std::string_view content) {
  switch (type) {
    case kFloat:
      return only<float>(content);
    case kDouble:
      return only<double>(content);
    case kInt32:
      return only<std::int32_t>(content);
    case kInt64:
      return only<std::int64_t>(content);
    case kBFloat16:
    case kHalf: {
      if (content.size() != 2) return std::nullopt;
      const auto bits = ByteReader(content).number<std::uint16_t>();
      return type == kHalf ? to_float(Float16{bits}) : to_float(BFloat16{bits});
    }
    default:
      return std::nullopt;
  }
}

/// The first of a field's numbers, packed or not.
template <class Packed, class Single>
double first_of(protozero::pbf_reader& reader, Packed packed, Single single, std::size_t& count) {
  if (reader.wire_type() != protozero::pbf_wire_type::length_delimited) {
    ++count;
    return static_cast<double>(single());
  }
  const auto range = packed();
  double first = std::nan("");
  for (auto it = range.begin(); it != range.end(); ++it)
    if (count++ == 0) first = static_cast<double>(*it);
  return first;
}

/// What a tensor holds, if that is one number or one text.
struct TensorValue {
  std::optional<double> number;
  std::optional<std::string_view> text;
};

TensorValue read_tensor(protozero::pbf_reader reader) {
  int type = 0;
  std::string_view content;
  TensorValue value;
  std::size_t count = 0;
  double number = std::nan("");
  while (reader.next()) {
    switch (reader.tag()) {
      case kTensorDType:
        type = reader.get_enum();
        break;
      case kTensorContent:
        content = view(reader.get_view());
        break;
      case kTensorFloat:
        number = first_of(
            reader, [&] { return reader.get_packed_float(); }, [&] { return reader.get_float(); }, count);
        break;
      case kTensorDouble:
        number = first_of(
            reader, [&] { return reader.get_packed_double(); }, [&] { return reader.get_double(); }, count);
        break;
      case kTensorInt:
        number = first_of(
            reader, [&] { return reader.get_packed_int32(); }, [&] { return reader.get_int32(); }, count);
        break;
      case kTensorInt64:
        number = first_of(
            reader, [&] { return reader.get_packed_int64(); }, [&] { return reader.get_int64(); }, count);
        break;
      case kTensorHalf: {
        const double bits = first_of(
            reader, [&] { return reader.get_packed_int32(); }, [&] { return reader.get_int32(); }, count);
        const auto half =
            static_cast<std::uint16_t>(static_cast<std::int32_t>(bits >= 0 && bits < 65536 ? bits : 0));
        number = type == kBFloat16 ? to_float(BFloat16{half}) : to_float(Float16{half});
        break;
      }
      case kTensorString:
        value.text = view(reader.get_view());
        break;
      default:
        reader.skip();
    }
  }
  if (count == 1)
    value.number = number;
  else if (count == 0)
    value.number = in_content(type, content);
  return value;
}

/// Gives the scalars of a Summary.
void read_summary(protozero::pbf_reader summary, RowSink& sink) {
  while (summary.next(kSummaryValue)) {
    protozero::pbf_reader reader = summary.get_message();
    std::string_view tag;
    TensorValue value;
    while (reader.next()) {
      switch (reader.tag()) {
        case kValueTag:
          tag = view(reader.get_view());
          break;
        case kValueSimple:
          value.number = reader.get_float();
          break;
        case kValueTensor:
          value = read_tensor(reader.get_message());
          break;
        default:
          reader.skip();
      }
    }
    if (tag.empty()) continue;
    if (value.number)
      sink.number(tag, *value.number);
    else if (value.text)
      sink.text(tag, *value.text);
  }
}

/// What an event says that is read.
struct Event {
  std::int64_t step = 0;
  std::optional<std::string_view> summary;
  bool restart = false;  ///< the run goes on from this step
};

bool is_start(protozero::pbf_reader session_log) {
  bool start = false;
  while (session_log.next()) {
    if (session_log.tag() == kSessionStatus && session_log.wire_type() == protozero::pbf_wire_type::varint)
      start = session_log.get_enum() == kSessionStart;
    else
      session_log.skip();
  }
  return start;
}

Event event_in(std::string_view payload) {
  constexpr auto kBytes = protozero::pbf_wire_type::length_delimited;
  protozero::pbf_reader reader(payload.data(), payload.size());
  Event event;
  while (reader.next()) {
    if (reader.tag() == kEventStep && reader.wire_type() == protozero::pbf_wire_type::varint)
      event.step = reader.get_int64();
    else if (reader.tag() == kEventSummary && reader.wire_type() == kBytes)
      event.summary = view(reader.get_view());
    else if (reader.tag() == kEventSessionLog && reader.wire_type() == kBytes)
      event.restart = is_start(reader.get_message());
    else
      reader.skip();
  }
  return event;
}

/// Where a run went on from an earlier step: in the order of the log, the steps from which on all that stands
/// before is void.
class Restarts {
 public:
  void add(std::int64_t step) { from_.push_back(step); }
  /// After the last of them: the smallest step of each and of all that follow it.
  void complete() {
    for (std::size_t i = from_.size(); i-- > 1;) from_[i - 1] = std::min(from_[i - 1], from_[i]);
  }
  /// One of them was passed.
  void pass() { ++passed_; }
  /// Whether a later one makes an event of this step void.
  bool make_void(std::int64_t step) const { return passed_ < from_.size() && step >= from_[passed_]; }

 private:
  std::vector<std::int64_t> from_;
  std::size_t passed_ = 0;
};

/// What was left out of a file.
struct Damage {
  std::int64_t checksums = 0;
  std::int64_t messages = 0;
  bool length = false;
};

/// A SessionLog has some bytes and, of old versions of TensorFlow, the path of a checkpoint.
constexpr std::size_t kLargestRestart = 4096;

/// Gives the records of a file whose payload has up to `largest` bytes: `visit(payload, intact)`, where
/// `intact()` compares its checksum. The visitor may say that no more are wanted, and may throw what
/// protozero throws. False: no more of them.
template <class Visit>
Result<bool> read_records(const Source& source, std::uint64_t largest, Damage& damage, Visit visit) {
  auto bytes = source();
  if (!bytes) return bytes.status();
  Buffered buffered(**bytes);
  for (;;) {
    const std::string_view header = buffered.take(kHeaderBytes);
    if (header.size() < kHeaderBytes) break;
    const auto length = length_in(header);
    if (!length) {
      damage.length = true;
      break;
    }
    if (*length > largest) {
      // A length that a file does not have ends it.
      if (!buffered.skip(*length) || !buffered.skip(kFooterBytes)) break;
      continue;
    }
    const auto size = static_cast<std::size_t>(*length);
    const std::string_view record = buffered.take(size + kFooterBytes);
    if (record.size() < size + kFooterBytes) break;
    const std::string_view payload = record.substr(0, size);
    const auto intact = [&] {
      return ByteReader(record.substr(size)).number<std::uint32_t>() == masked_checksum(payload);
    };
    try {
      if (!visit(payload, intact)) return false;
    } catch (const protozero::exception&) {
      ++damage.messages;
    }
  }
  if (!buffered.status().ok()) return buffered.status();
  return true;
}

/// "3 records with a wrong checksum (CRC) were"
std::string counted(std::int64_t count, std::string_view what) {
  return count == 1 ? fmt::format("one record {} was", what) : fmt::format("{} records {} were", count, what);
}

std::string counted_events(std::int64_t count) {
  return count == 1 ? "one event" : fmt::format("{} events", count);
}

/// The row of an event with a summary. False: no more of them.
bool give_row(const Event& event, RowSink& sink) {
  sink.number(kRecordStep, static_cast<double>(event.step));
  try {
    read_summary(protozero::pbf_reader(event.summary->data(), event.summary->size()), sink);
  } catch (const protozero::exception&) {
    sink.end_row();
    throw;
  }
  return sink.end_row();
}

/// Those of all files. A reader that gives rows as they come must know them before.
Result<Restarts> restarts_in(const std::vector<EventFile>& files) {
  Restarts restarts;
  for (const EventFile& file : files) {
    Damage ignored;
    const auto read = read_records(file.source, kLargestRestart, ignored,
                                   [&](std::string_view payload, const auto& intact) {
                                     const Event event = event_in(payload);
                                     if (event.restart && intact()) restarts.add(event.step);
                                     return true;
                                   });
    if (!read) return read.status();
  }
  restarts.complete();
  return restarts;
}

}  // namespace

bool looks_like_event_file(std::string_view front) {
  return front.size() >= kHeaderBytes && length_in(front.substr(0, kHeaderBytes)).has_value();
}

Status event_rows(const std::vector<EventFile>& files, TraceFacts& facts, RowSink& sink) {
  auto restarts = restarts_in(files);
  if (!restarts) return restarts.status();
  std::int64_t in_void = 0;
  for (const EventFile& file : files) {
    Damage damage;
    const auto visit = [&](std::string_view payload, const auto& intact) {
      if (!intact()) {
        ++damage.checksums;
        return true;
      }
      const Event event = event_in(payload);
      if (event.restart) restarts->pass();
      if (!event.summary) return true;
      if (restarts->make_void(event.step)) {
        ++in_void;
        return true;
      }
      return give_row(event, sink);
    };
    const auto more = read_records(file.source, kLargestRecord, damage, visit);
    if (!more) return more.status();
    if (damage.checksums > 0) {
      facts.notes.push_back(fmt::format("In {} {} left out; the rest was read.", file.name,
                                        counted(damage.checksums, "with a wrong checksum (CRC)")));
    }
    if (damage.messages > 0) {
      facts.notes.push_back(fmt::format("In {} {} left out; the rest was read.", file.name,
                                        counted(damage.messages, "without a message of an event")));
    }
    if (damage.length)
      facts.notes.push_back(fmt::format(
          "{} was read up to a length with a wrong checksum (CRC); what follows is lost.", file.name));
    if (!*more) return {};
  }
  if (in_void > 0) {
    facts.notes.push_back(fmt::format(
        "The run was restarted from an earlier step: {} of steps that were done again {} left out.",
        counted_events(in_void), in_void == 1 ? "was" : "were"));
  }
  return {};
}

}  // namespace gradstab::lab::inspect
