// One line a request, written when its answer is out.
import type { IncomingMessage, ServerResponse } from 'node:http';

import { Injectable, Logger, NestMiddleware } from '@nestjs/common';

@Injectable()
export class RequestLog implements NestMiddleware {
  private readonly logger = new Logger('Request');

  use(request: IncomingMessage & { originalUrl: string }, response: ServerResponse, next: () => void): void {
    const { method, originalUrl } = request;
    const start = performance.now();
    response.on('finish', () => {
      const took = Math.round(performance.now() - start);
      this.logger.log(`${method} ${originalUrl} ${response.statusCode} ${took} ms`);
    });
    next();
  }
}
