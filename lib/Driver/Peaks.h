// What this machine can do at most, measured: multiply-adds and bytes read per second.
#ifndef TENON_LIB_DRIVER_PEAKS_H
#define TENON_LIB_DRIVER_PEAKS_H

namespace tenon::driver {

struct Peaks {
  double gigaflops = 0; ///< f32, multiply and add counted as two
  double gigabytes = 0; ///< per second, read from memory
};
/// Takes about half a second; `threads` at once.
Peaks measurePeaks(unsigned threads);

} // namespace tenon::driver
#endif
