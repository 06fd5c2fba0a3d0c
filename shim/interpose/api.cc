// The table that include/forkmend/forkmend.h looks up.
#include "shim/interpose/interpose.h"
#include "shim/reviving/callback.h"

FORKMEND_EXPORT const forkmend_api forkmend_api_v1;
const forkmend_api forkmend_api_v1 = {
    FORKMEND_API_VERSION,           forkmend::reviving::add,
    forkmend::reviving::adopt_lock, forkmend::reviving::adopt_thread,
    forkmend::reviving::enqueue,    forkmend::reviving::remove};
