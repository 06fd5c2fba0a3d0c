// std::counting_semaphore, which libstdc++ has since g++ 11.
#if __has_include(<semaphore>)

#include <chrono>
#include <semaphore>
#include <thread>

#include "tests/programs/primitive/primitive.h"

namespace primitive {
namespace {

std::counting_semaphore<8>* counting;

void waits_for_counting() {
  announce();
  counting->acquire();
}

int counting_child() {
  std::thread other([] { counting->acquire(); });
  counting->release(1);
  other.join();
  STEP(1, !counting->try_acquire());
  counting->release(2);
  counting->acquire();
  counting->acquire();
  STEP(2, !counting->try_acquire_for(std::chrono::milliseconds(5)));
  return 0;
}

}  // namespace

int counting_case() {
  counting = new std::counting_semaphore<8>(0);
  start(waits_for_counting);
  return in_child(counting_child);
}

}  // namespace primitive

#endif
