// What `gradstab data vision` says.
#pragma once

#include "gradstab/status.hpp"
#include "lab/train/task_kind.hpp"
#include "lab/vision/picture_source.hpp"

namespace gradstab::lab::vision {

/// Reads every picture: how many there are of each class and part, how large they are, and which cannot be
/// read. Never fails for a single picture.
DataReport vision_data_report(const PictureSource& source, const PreparationProgress& on_progress);

}  // namespace gradstab::lab::vision
