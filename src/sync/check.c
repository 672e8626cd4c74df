#include "sync/sync.h"
bool ag__checks;
void ag__check_before(ag__biased *w, bool writes, void *pc) {(void)w;(void)writes;(void)pc;}
void ag__check_locked(ag__biased *w, bool writes, void *pc) {(void)w;(void)writes;(void)pc;}
void ag__check_unlock(ag__biased *w, bool writes) {(void)w;(void)writes;}
