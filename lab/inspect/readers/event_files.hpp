// TensorBoard event files: TFRecords of Event messages, with scalars in both of their forms.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "lab/inspect/readers/rows.hpp"
#include "lab/inspect/readers/source.hpp"

namespace gradstab::lab::inspect {

/// Whether these bytes are the front of such a file: a length with its checksum.
bool looks_like_event_file(std::string_view front);

/// A file of a run, by the name that notes call it by.
struct EventFile {
  std::string name;
  Source source;
};

/// The scalars of the files, one after the other, a row for each event: their tags, and kRecordStep. Texts
/// are given as texts. Where a run was restarted (SessionLog), what stands before of the same and later steps
/// is void and left out, as in TensorBoard. A record that is cut off at the end of a file is what a running
/// job leaves. A record with a wrong checksum is left out; behind a length with a wrong one nothing can be
/// read. Both are noted.
Status event_rows(const std::vector<EventFile>& files, TraceFacts& facts, RowSink& sink);

}  // namespace gradstab::lab::inspect
