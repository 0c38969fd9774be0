"""What one would write by hand: FastAPI and asyncpg, the claim's transaction in the request. Served by uvicorn."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid5

import asyncpg
from fastapi import FastAPI, Header, HTTPException
from pydantic import BaseModel

from benchmarks import rival

KEYS = UUID("4b6a1a2e-2a34-4c4d-9a8c-0a8f6f0b7a10")


class Claim(BaseModel):
    user: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.pool = await asyncpg.create_pool(os.environ["RIVAL_DATABASE_URL"], min_size=16, max_size=16)
    yield
    await app.state.pool.close()


app = FastAPI(lifespan=lifespan)


@app.post("/internal/v1/campaigns/{campaign}/claim")
async def claim(
    campaign: UUID, body: Claim, authorization: str = Header(), idempotency_key: str = Header()
) -> dict[str, Any]:
    if authorization != f"Bearer {os.environ['RIVAL_TOKEN']}":
        raise HTTPException(401)
    async with app.state.pool.acquire() as connection:
        code = await rival.claim(connection, campaign, body.user, uuid5(KEYS, idempotency_key))
    if code is None:
        raise HTTPException(409)
    return {"code": code, "user": body.user}
