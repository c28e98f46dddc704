/// The C interface of the recorder: gradient norms of a run in a file, for `gradstab inspect`. Nothing of the
/// run changes. docs/recording-format.md has the bytes of the file, docs/c-abi.md the order of the calls.
///
/// Errors, threads and compatibility are those of gradstab.h. A process that was forked off does not record.
#ifndef GRADSTAB_RECORDER_H
#define GRADSTAB_RECORDER_H

#include "gradstab/gradstab.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gradstab_recorder gradstab_recorder;

/// Something known of the run: "optimizer" and "AdamW". docs/recording-format.md lists the keys that
/// `gradstab inspect` understands. Passed in arrays, so it never changes.
typedef struct gradstab_recording_fact {
  const char* key;
  const char* value;
} gradstab_recording_fact;

/// All 0 but `struct_size`: every step, no facts.
typedef struct gradstab_recorder_options {
  size_t struct_size;
  int64_t every;                         ///< only steps that are a multiple of it are recorded; 0 is 1
  const gradstab_recording_fact* facts;  ///< may be NULL where the count is 0
  size_t fact_count;
  const gradstab_run_options* run;  ///< optional: threads and backend; its policy is not looked at
} gradstab_recorder_options;

/// What was wrong in the last call with this recorder: see gradstab_last_error.
GRADSTAB_API const char* gradstab_recorder_last_error(const gradstab_recorder* recorder);

/// Opens or makes the file and puts a recorder of these parameters into *recorder, to be freed by
/// gradstab_recorder_destroy; NULL after an error. Everything is copied. A recording that is there is
/// continued behind its last whole block, also with other parameters; any other file is left as it was.
/// `options` NULL: all defaults. Errors: GRADSTAB_IO_ERROR where the operating system refuses, where the path
/// is no regular file or another recorder has it; GRADSTAB_CORRUPT_DATA and GRADSTAB_VERSION_MISMATCH for a
/// file that is no recording of this version; those of gradstab_init for wrong parameters and options.
GRADSTAB_API gradstab_status gradstab_recorder_open(const char* path, const gradstab_parameter* parameters,
                                                    size_t count, const gradstab_recorder_options* options,
                                                    gradstab_recorder** recorder);

/// Measures gradients in host memory, one per parameter in the registered order, and appends their norms to
/// the file. Gradients are read once and never written; NaN and infinity are recorded as they are.
///
/// `step` is the number of the step, at least 0; GRADSTAB_NO_STEP: one more than the last one's. `loss` is
/// optional. Errors, after which nothing of this step is recorded and the next may be tried: those of
/// gradstab_update for wrong tensors; GRADSTAB_IO_ERROR where the file cannot be written, which then still
/// ends with a whole step; GRADSTAB_FAILED_PRECONDITION after gradstab_recorder_close.
GRADSTAB_API gradstab_status gradstab_recorder_record(gradstab_recorder* recorder,
                                                      const gradstab_tensor* tensors, size_t count,
                                                      int64_t step, const double* loss);

/// The same for gradients that all have one dtype, their registered shape, and lie contiguous on the CPU.
GRADSTAB_API gradstab_status gradstab_recorder_record_pointers(gradstab_recorder* recorder, void* const* data,
                                                               size_t count, gradstab_dtype dtype,
                                                               int64_t step, const double* loss);

/// Records the norms that a transform or an optimizer of the same parameters has measured, before it changed
/// the gradients. Nothing is read again. Also for gradients on a device, by the report of cuda.h.
GRADSTAB_API gradstab_status gradstab_recorder_record_report(gradstab_recorder* recorder,
                                                             const gradstab_step_report* report, int64_t step,
                                                             const double* loss);

/// From the next step on, other parameters: layers were unfrozen. An error leaves what was.
GRADSTAB_API gradstab_status gradstab_recorder_rebind(gradstab_recorder* recorder,
                                                      const gradstab_parameter* parameters, size_t count);

/// Waits until the disk has everything, and closes the file. A second call does nothing.
GRADSTAB_API gradstab_status gradstab_recorder_close(gradstab_recorder* recorder);

/// Frees a recorder; one that is not closed is closed without waiting. NULL is fine.
GRADSTAB_API void gradstab_recorder_destroy(gradstab_recorder* recorder);

#ifdef __cplusplus
}
#endif

#endif
