// JSON out of files: parsed, limited and read by type in one place, with messages that name the field.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gradstab/status.hpp"

namespace gradstab::lab {

/// Objects keep the order of their file.
using Json = nlohmann::ordered_json;

/// A larger document is refused, unless a reader says otherwise: one byte of JSON can take 40 of memory.
inline constexpr std::size_t kMostJsonBytes = std::size_t{64} << 20;

/// Lists and objects inside each other. No file of this program has more than 8; comparing, copying and
/// printing a document calls itself once per level.
inline constexpr int kDeepestJson = 64;

/// The document in `text`. corrupt_data, beginning with `name` ("run.json"): not JSON, with the place; a
/// number that is too large; nested deeper than kDeepestJson; more than `most_bytes`.
Result<Json> parse_json(std::string_view text, const std::string& name,
                        std::size_t most_bytes = kMostJsonBytes);

/// The same, and anything but an object is refused.
Result<Json> parse_json_object(std::string_view text, const std::string& name,
                               std::size_t most_bytes = kMostJsonBytes);

/// The object in a description of runs (kDescriptionFile), named by its path. Errors beside those above:
/// those of reading the file.
Result<Json> read_json_object(const std::filesystem::path& path);

/// JSON on one line of ASCII, cut where it is long. For messages.
std::string shown(const Json& value);

/// "lr is 0.01, expected 0.02; seed is missing, expected 1": the keys of two objects whose values differ.
std::string differences(const Json& found, const Json& expected);

// The value, where it has that type.
std::optional<double> as_number(const Json& value);
/// A whole number that 64 bits hold with a sign; 5.0 is none.
std::optional<std::int64_t> as_whole(const Json& value);
/// A whole number from 0 to 2^64 - 1.
std::optional<std::uint64_t> as_unsigned(const Json& value);
std::optional<bool> as_truth(const Json& value);
std::optional<std::string> as_text(const Json& value);

/// A place in a document, which is read by type. What does not fit is a complaint: "run.json: settings.lr
/// must be a number, got "x"". All places of a document share the first complaint; whoever reads asks for it
/// once, at the end, and ignores what was read if there is one.
///
/// The document must outlive its readers.
class JsonReader {
 public:
  /// The whole document. `name` begins the messages; it may be empty.
  JsonReader(const Json& document, std::string name);

  /// A member of this object. One that is not there can still be asked, and is complained about by whatever
  /// needs it.
  JsonReader operator[](std::string_view key) const;
  /// An element of this list, below size().
  JsonReader item(std::size_t index) const;
  /// Of a list; 0, and a complaint, of anything else.
  std::size_t size() const;
  /// The keys of an object; none, and a complaint, of anything else.
  std::vector<std::string> keys() const;

  /// Whether there is something other than null.
  bool exists() const noexcept;

  double number() const;
  std::int64_t whole(std::int64_t least = std::numeric_limits<std::int64_t>::min(),
                     std::int64_t most = std::numeric_limits<std::int64_t>::max()) const;
  bool truth() const;
  std::string text() const;
  /// A list of numbers, where null is NaN.
  std::vector<double> numbers() const;
  /// The object itself; an empty one, and a complaint, for anything else.
  const Json& object() const;

  // The same where null, or nothing at all, stands for something.
  double number_or_nan() const;
  std::int64_t whole_or(std::int64_t otherwise) const;
  bool truth_or(bool otherwise) const;
  std::string text_or(std::string otherwise) const;
  /// Or an empty one.
  const Json& object_or_empty() const;

  // Replaces `field`, whose type says what is expected, if that is there.
  void read(double& field) const;
  void read(int& field) const;
  void read(std::int64_t& field) const;
  void read(std::uint64_t& field) const;
  void read(bool& field) const;
  void read(std::string& field) const;

  /// Complains that this must be what `expected` says: "\"finished\" or \"failed\"".
  void refuse(std::string_view expected) const;

  /// The first complaint about the document: corrupt_data.
  const Status& status() const noexcept;

 private:
  struct Complaint;
  JsonReader(const Json* value, std::string path, std::shared_ptr<Complaint> complaint);
  std::optional<std::int64_t> whole_within(std::int64_t least, std::int64_t most) const;

  const Json* value_;  // null: there is nothing
  std::string path_;   // "settings.lr"; empty for the whole document
  std::shared_ptr<Complaint> complaint_;
};

}  // namespace gradstab::lab
