"""Settings of the catalogue: nested by family, read from `WINDLASS_...` and the founding documents' own variables."""

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from windlass import SettingsError


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Texts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Several texts; in a variable they are separated by commas."""


def env(name: str, *aliases: str) -> Any:
    """The variables of a field: `WINDLASS_<name>`, then `aliases`; in code it goes by its own name."""
    return AliasChoices(f"WINDLASS_{name}", *aliases)


class Family(BaseSettings):
    """The settings of one family of kinds. Secrets are `SecretStr`, which no repr, log or error tells."""

    model_config = SettingsConfigDict(
        env_prefix="WINDLASS_",
        populate_by_name=True,
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )


class MailSettings(Family):
    """`send-email`."""

    provider: Literal["smtp", "sendgrid", "resend", "postmark", "file", ""] = Field(
        default="", validation_alias=env("EMAIL_PROVIDER", "EMAIL_PROVIDER")
    )
    """The first provider; empty: the first that is set up."""
    fallbacks: Annotated[
        tuple[Literal["smtp", "sendgrid", "resend", "postmark", "file"], ...], NoDecode, BeforeValidator(_split)
    ] = Field(default=(), validation_alias=env("EMAIL_FALLBACKS"))
    """Further providers, asked in this order when the first fails before anything was sent."""
    sender: str = Field(default="", validation_alias=env("EMAIL_FROM", "EMAIL_FROM", "SENDGRID_FROM_EMAIL"))
    sender_name: str = Field(default="", validation_alias=env("EMAIL_FROM_NAME", "EMAIL_FROM_NAME"))
    domain: str = Field(default="", validation_alias=env("EMAIL_DOMAIN"))
    """The right side of Message-IDs; empty: that of the sender."""
    smtp_host: str = Field(default="", validation_alias=env("SMTP_HOST", "SMTP_HOST"))
    smtp_port: int = Field(default=587, ge=1, le=65535, validation_alias=env("SMTP_PORT", "SMTP_PORT"))
    smtp_user: str = Field(default="", validation_alias=env("SMTP_USER", "SMTP_USER"))
    smtp_password: SecretStr = Field(
        default=SecretStr(""), validation_alias=env("SMTP_PASSWORD", "SMTP_PASSWORD", "SMTP_PASS")
    )
    smtp_security: Literal["starttls", "tls", "none", "auto"] = Field(
        default="auto", validation_alias=env("SMTP_SECURITY")
    )
    smtp_ca: Path | None = Field(default=None, validation_alias=env("SMTP_CA"))
    """A file of certificates to trust beside the system's, for a server of one's own."""
    sendgrid_api_key: SecretStr = Field(
        default=SecretStr(""), validation_alias=env("SENDGRID_API_KEY", "SENDGRID_API_KEY")
    )
    sendgrid_base_url: str = Field(default="https://api.sendgrid.com", validation_alias=env("SENDGRID_BASE_URL"))
    resend_api_key: SecretStr = Field(default=SecretStr(""), validation_alias=env("RESEND_API_KEY", "RESEND_API_KEY"))
    resend_base_url: str = Field(default="https://api.resend.com", validation_alias=env("RESEND_BASE_URL"))
    postmark_token: SecretStr = Field(default=SecretStr(""), validation_alias=env("POSTMARK_TOKEN", "POSTMARK_TOKEN"))
    postmark_base_url: str = Field(default="https://api.postmarkapp.com", validation_alias=env("POSTMARK_BASE_URL"))
    templates: Path | None = Field(default=None, validation_alias=env("EMAIL_TEMPLATES"))
    """A folder of own templates, looked at before the built-in ones."""
    in_doubt: Literal["resend", "hold"] = Field(default="hold", validation_alias=env("EMAIL_IN_DOUBT"))
    """What becomes of a transactional mail whose sending has an unknown outcome. Marketing is always held."""
    most_recipients: int = Field(default=900, ge=1, le=900, validation_alias=env("EMAIL_MAX_RECIPIENTS"))
    most_attachment_bytes: int = Field(
        default=20 * 1024 * 1024, ge=0, validation_alias=env("EMAIL_MAX_ATTACHMENT_SIZE")
    )
    timeout: float = Field(default=30.0, gt=0, validation_alias=env("EMAIL_TIMEOUT"))
    rate_pause: float = Field(default=60.0, gt=0, le=86_400, validation_alias=env("EMAIL_RATE_PAUSE"))
    """Seconds for which a provider is left alone that says we send too fast and does not say for how long."""
    breaker_pause: float = Field(default=30.0, gt=0, le=600, validation_alias=env("EMAIL_BREAKER_PAUSE"))
    """Seconds for which a provider that fails again and again is not asked; twice as long each time, up to ten minutes."""
    cost: float = Field(default=0.0, ge=0, validation_alias=env("EMAIL_COST"))
    """What one message costs."""

    def chosen(self) -> tuple[str, ...]:
        """The providers in their order: the one that is named, or those that are set up, then the fallbacks."""
        given = {
            "smtp": self.smtp_host,
            "sendgrid": self.sendgrid_api_key.get_secret_value(),
            "resend": self.resend_api_key.get_secret_value(),
            "postmark": self.postmark_token.get_secret_value(),
        }
        first = self.provider or next((name for name, value in given.items() if value), "")
        return tuple(dict.fromkeys(name for name in (first, *self.fallbacks) if name))

    def secret_of(self, name: str) -> tuple[SecretStr, str]:
        """The key of an HTTP provider, and its variable."""
        return {
            "sendgrid": (self.sendgrid_api_key, "SENDGRID_API_KEY"),
            "resend": (self.resend_api_key, "RESEND_API_KEY"),
            "postmark": (self.postmark_token, "POSTMARK_TOKEN"),
        }[name]


class FileSettings(Family):
    """`file-processing`, and what any job may read."""

    max_size: int = Field(default=104_857_600, ge=1, validation_alias=env("MAX_FILE_SIZE", "MAX_FILE_SIZE"))
    allowed_types: Texts = Field(
        default=("image/jpeg", "image/png", "application/pdf"),
        validation_alias=env("ALLOWED_FILE_TYPES", "ALLOWED_FILE_TYPES"),
    )
    clamd: str = Field(default="", validation_alias=env("CLAMD", "CLAMD_SOCKET"))
    """Where clamd listens: `/run/clamav/clamd.ctl` or `host:3310`."""


class MediaSettings(Family):
    """Video, audio, transcripts. Prices are US dollars."""

    ffmpeg: str = Field(default="", validation_alias=env("FFMPEG", "FFMPEG_PATH"))
    ffprobe: str = Field(default="", validation_alias=env("FFPROBE", "FFPROBE_PATH"))
    espeak: str = Field(default="", validation_alias=env("ESPEAK"))
    max_size: int = Field(default=2 << 30, ge=1, validation_alias=env("MAX_MEDIA_SIZE"))
    """Bytes of a video or audio file that jobs take."""
    max_seconds: float = Field(default=7_200.0, gt=0, validation_alias=env("MAX_MEDIA_SECONDS"))
    elevenlabs_api_key: SecretStr = Field(
        default=SecretStr(""), validation_alias=env("ELEVENLABS_API_KEY", "ELEVENLABS_API_KEY")
    )
    elevenlabs_base_url: str = Field(default="https://api.elevenlabs.io", validation_alias=env("ELEVENLABS_BASE_URL"))
    elevenlabs_model: str = Field(default="eleven_multilingual_v2", validation_alias=env("ELEVENLABS_MODEL"))
    elevenlabs_voice: str = Field(default="", validation_alias=env("ELEVENLABS_VOICE"))
    """The voice where an input names none; without it ElevenLabs is asked only for inputs that do."""
    elevenlabs_price: float = Field(default=0.0002, ge=0, validation_alias=env("ELEVENLABS_PRICE"))
    """Per character."""
    speech_providers: Texts = Field(
        default=("elevenlabs", "openai", "espeak-ng"), validation_alias=env("SPEECH_PROVIDERS")
    )
    """Who speaks, in the order in which they are asked; those that are not set up are passed over."""
    speech_model: str = Field(default="gpt-4o-mini-tts", validation_alias=env("SPEECH_MODEL"))
    """Of the OpenAI-compatible service."""
    speech_price: float = Field(default=0.000015, ge=0, validation_alias=env("SPEECH_PRICE"))
    """Per character, of the OpenAI-compatible service."""
    transcript_providers: Texts = Field(
        default=("openai", "faster-whisper", "pocketsphinx"), validation_alias=env("TRANSCRIPT_PROVIDERS")
    )
    transcript_model: str = Field(default="whisper-1", validation_alias=env("TRANSCRIPT_MODEL"))
    transcript_price: float = Field(default=0.006, ge=0, validation_alias=env("TRANSCRIPT_PRICE"))
    """Per minute of audio, of the OpenAI-compatible service."""
    whisper_model: Path | None = Field(default=None, validation_alias=env("WHISPER_MODEL"))
    """The folder of a model for faster-whisper; nothing is downloaded."""


class AiSettings(Family):
    """Providers of language, speech and pictures."""

    openai_api_key: SecretStr = Field(default=SecretStr(""), validation_alias=env("OPENAI_API_KEY", "OPENAI_API_KEY"))
    openai_base_url: str = Field(
        default="https://api.openai.com/v1", validation_alias=env("OPENAI_BASE_URL", "OPENAI_BASE_URL")
    )
    openai_model: str = Field(default="", validation_alias=env("OPENAI_MODEL", "OPENAI_MODEL"))
    anthropic_api_key: SecretStr = Field(
        default=SecretStr(""), validation_alias=env("ANTHROPIC_API_KEY", "ANTHROPIC_API_KEY")
    )
    anthropic_base_url: str = Field(
        default="https://api.anthropic.com", validation_alias=env("ANTHROPIC_BASE_URL", "ANTHROPIC_BASE_URL")
    )
    anthropic_model: str = Field(default="", validation_alias=env("ANTHROPIC_MODEL", "ANTHROPIC_MODEL"))
    anthropic_version: str = Field(
        default="2026-10-21", pattern=r"^\d{4}-\d{2}-\d{2}$", validation_alias=env("ANTHROPIC_VERSION")
    )
    """Of the API, as the header `anthropic-version` names it."""
    content_providers: Texts = Field(
        default=("anthropic", "openai", "extractive"), validation_alias=env("CONTENT_PROVIDERS")
    )
    """Who writes posts, in the order in which they are asked; those that are not set up are passed over."""
    openai_price_input: float = Field(default=0.0, ge=0, validation_alias=env("OPENAI_PRICE_INPUT"))
    """Dollars for a million tokens that are read; the others for those that are written."""
    openai_price_output: float = Field(default=0.0, ge=0, validation_alias=env("OPENAI_PRICE_OUTPUT"))
    anthropic_price_input: float = Field(default=0.0, ge=0, validation_alias=env("ANTHROPIC_PRICE_INPUT"))
    anthropic_price_output: float = Field(default=0.0, ge=0, validation_alias=env("ANTHROPIC_PRICE_OUTPUT"))


class SocialSettings(Family):
    """`social-posting`, `scheduled-posts`."""

    x_base_url: str = Field(default="https://api.x.com", validation_alias=env("X_BASE_URL"))
    x_token: SecretStr = Field(default=SecretStr(""), validation_alias=env("X_TOKEN"))
    linkedin_base_url: str = Field(default="https://api.linkedin.com", validation_alias=env("LINKEDIN_BASE_URL"))
    linkedin_token: SecretStr = Field(default=SecretStr(""), validation_alias=env("LINKEDIN_TOKEN"))
    linkedin_version: str = Field(default="202509", pattern=r"^\d{6}$", validation_alias=env("LINKEDIN_VERSION"))


class ReportSettings(Family):
    """`daily-reports`, `weekly-reports`."""

    fonts: Path | None = Field(default=None, validation_alias=env("REPORT_FONTS"))
    """A folder of fonts for scripts that the built-in ones do not know, as Chinese, Japanese and Korean."""


class StorageSettings(Family):
    """Where files of jobs are: `file:///var/lib/windlass/files`, `s3://bucket/prefix`, `gs://`, `az://`, `memory://`."""

    url: str = Field(default="", validation_alias=env("STORAGE_URL", "STORAGE_URL"))
    endpoint: str = Field(default="", validation_alias=env("STORAGE_BASE_URL", "AWS_ENDPOINT_URL_S3"))
    region: str = Field(default="", validation_alias=env("STORAGE_REGION", "AWS_REGION"))
    access_key: SecretStr = Field(
        default=SecretStr(""), validation_alias=env("STORAGE_ACCESS_KEY", "AWS_ACCESS_KEY_ID")
    )
    secret_key: SecretStr = Field(
        default=SecretStr(""), validation_alias=env("STORAGE_SECRET_KEY", "AWS_SECRET_ACCESS_KEY")
    )
    sign_for: float = Field(default=300.0, gt=0, le=7 * 86_400, validation_alias=env("STORAGE_SIGN_FOR"))
    """Seconds for which a signed link works."""
    work_bytes: int = Field(default=4 << 30, ge=1, validation_alias=env("WORK_QUOTA"))
    """Bytes that one attempt may keep in its temporary folder."""


class FetchSettings(Family):
    """Reading of URLs that inputs name."""

    allow_private: Texts = Field(default=(), validation_alias=env("FETCH_ALLOW_PRIVATE"))
    max_bytes: int = Field(default=104_857_600, ge=1, validation_alias=env("FETCH_MAX_BYTES"))
    redirects: int = Field(default=5, ge=0, le=20, validation_alias=env("FETCH_REDIRECTS"))
    timeout: float = Field(default=60.0, gt=0, validation_alias=env("FETCH_TIMEOUT"))


class CatalogueSettings(Family):
    """All of them: `CatalogueSettings(mail=MailSettings(smtp_host="127.0.0.1"))`, the rest from the environment."""

    mail: MailSettings = Field(default_factory=MailSettings)
    files: FileSettings = Field(default_factory=FileSettings)
    media: MediaSettings = Field(default_factory=MediaSettings)
    ai: AiSettings = Field(default_factory=AiSettings)
    social: SocialSettings = Field(default_factory=SocialSettings)
    reports: ReportSettings = Field(default_factory=ReportSettings)
    storage: StorageSettings = Field(default_factory=StorageSettings)
    fetch: FetchSettings = Field(default_factory=FetchSettings)


def load() -> CatalogueSettings:
    """The settings of this process; raises `SettingsError` naming the variable that does not fit, never its value."""
    try:
        return CatalogueSettings()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        raise SettingsError(f"{name}: {first['msg']}", field=name) from None


@lru_cache(maxsize=1)
def current() -> CatalogueSettings:
    """The process's settings, read at first use; `install(app, settings=...)` gives an app others."""
    return load()


__all__ = [
    "AiSettings",
    "CatalogueSettings",
    "FetchSettings",
    "FileSettings",
    "MailSettings",
    "MediaSettings",
    "ReportSettings",
    "SocialSettings",
    "StorageSettings",
    "current",
    "load",
]
