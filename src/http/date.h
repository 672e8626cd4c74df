/* SPDX-License-Identifier: MIT */
/* Dates of HTTP, RFC 9110 5.6.7. */
#ifndef AG_HTTP_DATE_H
#define AG_HTTP_DATE_H

#include "http/chars.h"

enum { AG__HTTP_DATE = sizeof "Thu, 01 Jan 1970 00:00:00 GMT" - 1 };

/* IMF-fixdate of the seconds since 1970, of the years 1970 to 9999. */
void ag__http_date_write(char to[AG__HTTP_DATE], int64_t seconds);

/* Reads any of the three forms: IMF-fixdate, RFC 850's, asctime's. Returns: false if it is none. */
bool ag__http_date_parse(ag__http_text s, int64_t *ret_seconds);

#endif
