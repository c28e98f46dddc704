#include "lab/inspect/readers/wandb.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <protozero/pbf_reader.hpp>
#include <string>

#include "lab/inspect/readers/buffered.hpp"
#include "lab/inspect/readers/log_number.hpp"
#include "lab/support/byte_reader.hpp"

namespace gradstab::lab::inspect {
namespace {

constexpr std::string_view kMagic = ":W&B";
constexpr std::size_t kFileHeader = 7;  // the magic, two bytes of another, a version
// LevelDB's log: blocks of fragments, of which several may make a record.
constexpr std::size_t kBlock = 32768;
constexpr std::size_t kFragmentHeader = 7;  // u32 checksum, u16 length, u8 type
constexpr std::size_t kLargestRecord = std::size_t{64} << 20;
enum FragmentType : std::uint8_t { kZeros = 0, kFull = 1, kFirst = 2, kMiddle = 3, kLast = 4 };

// The fields of W&B's wandb_internal.proto that are read.
enum RecordField : protozero::pbf_tag_type { kRecordHistory = 2 };
enum HistoryField : protozero::pbf_tag_type { kHistoryItem = 1, kHistoryStep = 2 };
enum ItemField : protozero::pbf_tag_type { kItemKey = 1, kItemNestedKey = 2, kItemJson = 16 };

std::string_view view(protozero::data_view data) {
  return {data.data(), data.size()};
}

void read_item(protozero::pbf_reader item, RowSink& sink) {
  std::string name;
  std::string_view json;
  while (item.next()) {
    switch (item.tag()) {
      case kItemKey:
        name = view(item.get_view());
        break;
      case kItemNestedKey:
        if (!name.empty()) name += '.';
        name += view(item.get_view());
        break;
      case kItemJson:
        json = view(item.get_view());
        break;
      default:
        item.skip();
    }
  }
  if (name.empty()) return;
  if (const auto value = log_number(json))
    sink.number(name, *value);
  else
    sink.text(name, json.size() >= 2 && json.front() == '"' ? json.substr(1, json.size() - 2) : json);
}

/// False: no more rows are wanted.
bool read_record(std::string_view bytes, RowSink& sink) {
  protozero::pbf_reader record(bytes.data(), bytes.size());
  while (record.next()) {
    if (record.tag() != kRecordHistory || record.wire_type() != protozero::pbf_wire_type::length_delimited) {
      record.skip();
      continue;
    }
    protozero::pbf_reader history = record.get_message();
    while (history.next()) {
      if (history.tag() == kHistoryItem) {
        read_item(history.get_message(), sink);
      } else if (history.tag() == kHistoryStep) {
        protozero::pbf_reader step = history.get_message();
        while (step.next(1)) sink.number("_step", static_cast<double>(step.get_int64()));
      } else {
        history.skip();
      }
    }
    if (!sink.end_row()) return false;
  }
  return true;
}

}  // namespace

bool looks_like_wandb(std::string_view front) {
  return front.starts_with(kMagic);
}

Status wandb_rows(const Source& source, TraceFacts& facts, RowSink& sink) {
  auto bytes = source();
  if (!bytes) return bytes.status();
  Buffered buffered(**bytes);
  std::size_t in_block = buffered.take(kFileHeader).size();
  std::string joined;
  bool joining = false;
  std::int64_t damaged = 0;
  bool more = true;
  while (more) {
    const std::size_t left = kBlock - in_block;
    if (left < kFragmentHeader) {
      if (!buffered.skip(left)) break;
      in_block = 0;
      continue;
    }
    const std::string_view header = buffered.take(kFragmentHeader);
    if (header.size() < kFragmentHeader) break;
    ByteReader reader(header);
    const auto checksum = reader.number<std::uint32_t>();
    const auto length = reader.number<std::uint16_t>();
    const auto type = reader.number<std::uint8_t>();
    in_block += kFragmentHeader;
    if (type == kZeros || length > kBlock - in_block) {
      // Zeros fill what a killed run has not written; a length beyond the block is damage.
      damaged += type == kZeros ? 0 : 1;
      joining = false;
      if (!buffered.skip(kBlock - in_block)) break;
      in_block = 0;
      continue;
    }
    const std::string_view data = buffered.take(length);
    if (data.size() < length) break;
    in_block += length;
    const auto whole = static_cast<std::uint32_t>(
        crc32_z(crc32_z(0, &type, 1), reinterpret_cast<const Bytef*>(data.data()), data.size()));
    if (whole != checksum) {
      ++damaged;
      joining = false;
      continue;
    }
    if (type == kFirst) joined.clear();
    if (type == kFirst || (joining && (type == kMiddle || type == kLast))) joined += data;
    const bool complete = type == kFull || (type == kLast && joining);
    joining = type == kFirst || (type == kMiddle && joining);
    if (joined.size() > kLargestRecord) {
      joined.clear();
      joining = false;
      continue;
    }
    if (!complete) continue;
    try {
      more = read_record(type == kFull ? data : std::string_view(joined), sink);
    } catch (const protozero::exception&) {
      ++damaged;
      more = sink.end_row();
    }
  }
  GRADSTAB_RETURN_IF_ERROR(buffered.status());
  if (damaged > 0) {
    facts.notes.push_back(
        fmt::format("{} damaged (wrong checksum, length or message) and left out; the rest was read.",
                    damaged == 1 ? "One record is" : fmt::format("{} records are", damaged)));
  }
  return {};
}

}  // namespace gradstab::lab::inspect
