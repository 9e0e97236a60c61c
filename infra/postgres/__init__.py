"""The shared PostgreSQL database: tables, roles, frames in and out."""
